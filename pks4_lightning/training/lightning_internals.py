"""Access to Lightning beyond its public, typed interface, one function each.

Everything here exists in Lightning 2.0 as well as in 2.6.6, unless noted otherwise.
``tests/training/test_lightning_internals.py`` tests every function, so that a new version of
Lightning that breaks one is detected.
"""

from datetime import timedelta
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = [
    "add_triggers",
    "begins_its_epoch",
    "callbacks",
    "data_module",
    "forget_other_ranks",
    "has_trainer",
    "is_fast_dev_run",
    "is_within_a_step",
    "leave_signals_alone",
    "loss_scaler",
    "lower_log_interval",
    "validation_is_next",
]


def data_module(trainer: Trainer) -> Any:
    """Return the data module of a run, or ``None``; no class declares this attribute."""
    return getattr(trainer, "datamodule", None)


def callbacks(trainer: Trainer) -> list[Callback]:
    """Return all callbacks in the order in which they are called; not declared either."""
    found: list[Callback] = vars(trainer)["callbacks"]
    return found


def is_fast_dev_run(trainer: Trainer) -> bool:
    """Return whether a run only tries everything once and saves nothing; not declared either."""
    return bool(vars(trainer)["fast_dev_run"])


def lower_log_interval(trainer: Trainer, steps: float) -> None:
    """Log at least every so many steps; the trainer's interval is not declared either."""
    vars(trainer)["log_every_n_steps"] = min(vars(trainer)["log_every_n_steps"], steps)


def has_trainer(module: LightningModule) -> bool:
    """Return whether a module has a trainer; without one, ``module.trainer`` raises."""
    return module._trainer is not None


def loss_scaler(trainer: Trainer) -> Any:
    """Return fp16's gradient scaler, or ``None``; only one kind of precision plugin has it."""
    return getattr(trainer.precision_plugin, "scaler", None)


def is_within_a_step(trainer: Trainer) -> bool:
    """Return whether the last batch left accumulated gradients for a later step."""
    return bool(trainer.fit_loop._should_accumulate())


def validation_is_next(trainer: Trainer) -> bool:
    """Return whether a validation follows the last batch.

    In Lightning 2.0, the epoch loop takes no fetcher here.
    """
    loop: Any = trainer.fit_loop
    if not loop.epoch_loop.batch_progress.current.processed or loop._data_fetcher is None:
        return False
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))


def begins_its_epoch(trainer: Trainer) -> None:
    """Make the epoch loop treat an epoch that has not begun as a new one.

    With a limit on steps, a resumed Lightning takes it for an unfinished epoch.
    """
    loop = trainer.fit_loop.epoch_loop
    if loop.batch_progress.current.ready == 0:
        loop.restarting = False


def add_triggers(checkpoint: ModelCheckpoint, *, every: timedelta | None) -> None:
    """Let a checkpoint be saved after every epoch and also after a time interval.

    The constructor accepts only one trigger, but the hooks respect all that are set.
    """
    checkpoint._every_n_epochs = checkpoint._every_n_epochs or 1
    if every is not None:
        checkpoint._train_time_interval = every


def leave_signals_alone(trainer: Trainer) -> None:
    """Disable Lightning's SIGTERM handler: it broadcasts within the handler, which hangs ranks.

    Call it before a run registers the handler, which is after ``setup``. There is no option for it.
    """
    connector: Any = trainer._signal_connector
    connector.register_signal_handlers = lambda: None


def forget_other_ranks(trainer: Trainer) -> None:
    """Keep the launcher from killing this process because a rank that it started has ended.

    A thread watches the ranks in ``procs``; it ends if the list is empty.
    """
    getattr(trainer.strategy.launcher, "procs", []).clear()
