"""Where a training stands in Lightning's loops, and how another one takes it up from there.

Lightning 2.6 counts batches and epochs in a dozen counters and guesses from them what a resumed run
has still to do. Between the last batch of an epoch and the epoch's end it guesses wrongly: it skips
the validation that was due, or counts the epoch twice. So a checkpoint says where it stands in
words of our own, and the counters are set by them.
"""

from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch import Trainer

from pks4_lightning.training.lightning_internals import validation_is_next

__all__ = ["Position", "position", "take_up"]


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a training goes on.

    Args:
        epoch: Counted from 0.
        batches: Micro-batches of the epoch that each rank has used.
        validation: Of those that belong to the batch before: whether it is ``due``, or ``done``.
    """

    epoch: int
    batches: int
    validation: Literal["none", "due", "done"] = "none"


def position(trainer: Trainer, *, validated_at: int | None) -> Position:
    """Return where a training stands, in any hook after a batch, in a validation or at epoch's end.

    Args:
        trainer: The one that trains.
        validated_at: ``trainer.fit_loop.total_batch_idx`` at the last finished validation.
    """
    fit_loop: Any = trainer.fit_loop
    epochs = fit_loop.epoch_progress.current
    if epochs.processed == epochs.ready:  # between two epochs, or before the first
        return Position(epoch=epochs.processed, batches=0)
    batches = fit_loop.epoch_loop.batch_progress
    validation: Literal["none", "due", "done"] = "none"
    if validation_is_next(trainer):
        validation = "done" if validated_at == fit_loop.total_batch_idx else "due"
    if batches.is_last_batch and validation == "none":
        return Position(epoch=epochs.processed + 1, batches=0)
    return Position(
        epoch=epochs.processed, batches=batches.current.processed, validation=validation
    )


def take_up(fit_loop: dict[str, Any], here: Position) -> None:
    """Set the counters of a checkpoint so that Lightning's loops go on at a position.

    Args:
        fit_loop: The fit loop's part of a checkpoint's ``loops``; changed in place.
        here: Where to go on. The batches may be of another size than the checkpoint's.
    """
    begun = here.batches > 0
    epochs = _counts(here.epoch) | dict.fromkeys(("ready", "started"), here.epoch + begun)
    fit_loop["epoch_progress"] = {"total": epochs, "current": dict(epochs)}
    batches = fit_loop["epoch_loop.batch_progress"]
    batches["total"] = _counts(batches["total"]["processed"])
    batches["current"] = _counts(here.batches)
    batches["is_last_batch"] &= begun
    # A validation that has begun is run again, from its first batch: its sums are not kept.
    validation = _counts(0) | dict.fromkeys(("ready", "started"), int(here.validation == "due"))
    fit_loop["epoch_loop.val_loop.batch_progress"] |= {
        "total": validation,
        "current": dict(validation),
    }
    # The loggers' step; the loop adds one when it comes by the last batch's validation again.
    optimizer = fit_loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    steps = optimizer["step"]["total"]["completed"] - (here.validation != "none")
    fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps


def _counts(number: int) -> dict[str, int]:
    """Return Lightning's four counters of events that have all come to their end."""
    return dict.fromkeys(("ready", "started", "processed", "completed"), number)
