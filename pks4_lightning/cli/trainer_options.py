"""Refuse unsupported options of Lightning's trainer before anything is written."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback

from pks4_lightning.ranges import check_at_least
from pks4_lightning.suggestions import did_you_mean

__all__ = ["check_monitors", "check_options"]

_LOGGED = ("train/loss", "val/loss", "val/top1", "val/top5", "train/skipped_updates")
_COUNTS = ("accumulate_grad_batches", "check_val_every_n_epoch")
_UNFIT = {
    "StochasticWeightAveraging": (
        "replaces the learning rates, which differ from layer to layer here; "
        "use --trainer.callbacks+=EMAWeightAveraging, which averages weights without that"
    ),
    "LearningRateFinder": (
        "sets a single learning rate, but here they differ from layer to layer; they all follow "
        "--model.recipe.base_lr"
    ),
}
"""Lightning's callbacks that are not supported, and why."""


def check_options(options: Any, callbacks: Sequence[Callback]) -> None:
    """Check the trainer's options.

    Args:
        options: The settings of the trainer.
        callbacks: The callbacks that were asked for.

    Raises:
        ValueError: At the first option that is not supported.
    """
    if options.get("barebones"):
        raise ValueError(
            "trainer.barebones is not supported: it disables the logging, checkpoints and progress "
            "that every run here needs; to measure speed, set --trainer.logger false "
            "--trainer.enable_checkpointing false --trainer.enable_progress_bar false."
        )
    check_at_least(1, {f"trainer.{name}": options.get(name) for name in _COUNTS})
    for callback in callbacks:
        name = type(callback).__name__
        if name in _UNFIT:
            raise ValueError(f"trainer.callbacks: {name} {_UNFIT[name]}.")


def check_monitors(callbacks: Sequence[Callback]) -> None:
    """Refuse callbacks that monitor a quantity which is never logged.

    Args:
        callbacks: Callbacks of a training.

    Raises:
        ValueError: At the first one. If any callback belongs to neither Lightning nor this package,
            nothing is refused, because it may log anything.
    """
    ours = ("lightning.", "pks4_lightning.")
    if not all(type(callback).__module__.startswith(ours) for callback in callbacks):
        return
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is None or monitor in _LOGGED or monitor.startswith("lr-"):
            continue
        raise ValueError(
            f"{type(callback).__name__} monitors {monitor}, which is not logged during training"
            + did_you_mean(monitor, _LOGGED, f"it logs {', '.join(_LOGGED)}")
        )
