"""What this package takes from Lightning beyond its public, typed interface: one function each.

All of it is in Lightning 2.0 as well as in 2.6.6, but for what says otherwise.
``tests/training/test_lightning_internals.py`` holds every function to its promise, so that a new
version that breaks one of them is found out there.
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
    "validation_is_next",
]


def data_module(trainer: Trainer) -> Any:
    """Return the data module of a run, or ``None``: an attribute that no class declares."""
    return getattr(trainer, "datamodule", None)


def callbacks(trainer: Trainer) -> list[Callback]:
    """Return all callbacks in the order in which they are called: not declared either."""
    found: list[Callback] = vars(trainer)["callbacks"]
    return found


def is_fast_dev_run(trainer: Trainer) -> bool:
    """Whether a run only tries everything once and saves nothing: not declared either."""
    return bool(vars(trainer)["fast_dev_run"])


def has_trainer(module: LightningModule) -> bool:
    """Whether a module is attached to a trainer; ``module.trainer`` raises where it is not."""
    return module._trainer is not None


def loss_scaler(trainer: Trainer) -> Any:
    """Return fp16's gradient scaler, or ``None``: an attribute of one kind of precision plugin."""
    return getattr(trainer.precision_plugin, "scaler", None)


def is_within_a_step(trainer: Trainer) -> bool:
    """Whether the batch just done leaves gradients behind that a later one will step with."""
    return bool(trainer.fit_loop._should_accumulate())


def validation_is_next(trainer: Trainer) -> bool:
    """Whether a validation follows the batch just done.

    Lightning 2.0 asks its epoch loop without the fetcher.
    """
    loop: Any = trainer.fit_loop
    if not loop.epoch_loop.batch_progress.current.processed or loop._data_fetcher is None:
        return False
    return bool(loop.epoch_loop._should_check_val_fx(loop._data_fetcher))


def begins_its_epoch(trainer: Trainer) -> None:
    """Let the epoch loop treat an epoch that has not begun as a new one.

    With a limit of steps, a resumed Lightning takes it for an unfinished one.
    """
    loop = trainer.fit_loop.epoch_loop
    if loop.batch_progress.current.ready == 0:
        loop.restarting = False


def add_triggers(checkpoint: ModelCheckpoint, *, every: timedelta | None) -> None:
    """Let a checkpoint be saved after every epoch and after every so much time as well.

    The constructor takes one trigger only; the hooks heed all that are set.
    """
    checkpoint._every_n_epochs = checkpoint._every_n_epochs or 1
    if every is not None:
        checkpoint._train_time_interval = every


def leave_signals_alone(trainer: Trainer) -> None:
    """Keep Lightning's SIGTERM handler away: it broadcasts from within, which hangs ranks.

    To be called before a run registers it, which is after ``setup``. There is no switch.
    """
    connector: Any = trainer._signal_connector
    connector.register_signal_handlers = lambda: None


def forget_other_ranks(trainer: Trainer) -> None:
    """Keep the launcher from killing this process because a rank that it started has ended.

    A thread watches the ranks in ``procs`` and ends where nothing is on that list.
    """
    getattr(trainer.strategy.launcher, "procs", []).clear()
