"""Save the position of a training in Lightning's loops, and restore it.

Lightning 2.6 counts batches and epochs in a dozen counters and infers from them what a resumed run
still has to do. Between the last batch of an epoch and the epoch's end it infers wrongly: it skips
the validation that was due, or counts the epoch twice. Our checkpoints therefore record an explicit
position, from which the counters are set.
"""

from dataclasses import dataclass
from typing import Any, Literal

from lightning.pytorch import Trainer

from pks4_lightning.training.lightning_internals import validation_is_next

__all__ = ["Position", "position", "take_up"]


@dataclass(frozen=True, kw_only=True)
class Position:
    """The position at which a training continues.

    Args:
        epoch: Epoch, counted from 0.
        batches: Micro-batches of the epoch that each rank has used.
        validation: Whether the validation after the last batch is ``due`` or ``done``, if any.
    """

    epoch: int
    batches: int
    validation: Literal["none", "due", "done"] = "none"


def position(trainer: Trainer, *, validated_at: int | None) -> Position:
    """Return the position of a training, in any hook after a batch, in validation or at epoch end.

    Args:
        trainer: The trainer.
        validated_at: ``trainer.fit_loop.total_batch_idx`` at the last finished validation.
    """
    fit_loop: Any = trainer.fit_loop
    epochs = fit_loop.epoch_progress.current
    batches = fit_loop.epoch_loop.batch_progress
    is_between_epochs = epochs.processed == epochs.ready
    if is_between_epochs and (batches.is_last_batch or not batches.current.processed):
        return Position(epoch=epochs.processed, batches=0)
    # a limit on steps ends the loop over an epoch too, which then counts as processed
    epoch = epochs.processed - is_between_epochs
    validation: Literal["none", "due", "done"] = "none"
    if validation_is_next(trainer):
        validation = "done" if validated_at == fit_loop.total_batch_idx else "due"
    if batches.is_last_batch and validation == "none":
        return Position(epoch=epoch + 1, batches=0)
    return Position(epoch=epoch, batches=batches.current.processed, validation=validation)


def take_up(fit_loop: dict[str, Any], here: Position) -> None:
    """Set the counters of a checkpoint so that Lightning's loops continue at a position.

    Args:
        fit_loop: The fit loop's part of a checkpoint's ``loops``; modified in place.
        here: Where to continue. The batch size may differ from that of the checkpoint.
    """
    begun = here.batches > 0
    epochs = _counts(here.epoch) | dict.fromkeys(("ready", "started"), here.epoch + begun)
    fit_loop["epoch_progress"] = {"total": epochs, "current": dict(epochs)}
    batches = fit_loop["epoch_loop.batch_progress"]
    batches["total"] = _counts(batches["total"]["processed"])
    batches["current"] = _counts(here.batches)
    batches["is_last_batch"] &= begun
    # An interrupted validation is repeated from its first batch, because its sums are not saved.
    validation = _counts(0) | dict.fromkeys(("ready", "started"), int(here.validation == "due"))
    fit_loop["epoch_loop.val_loop.batch_progress"] |= {
        "total": validation,
        "current": dict(validation),
    }
    # The loggers' step; the loop adds one when it repeats the validation of the last batch.
    optimizer = fit_loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    steps = optimizer["step"]["total"]["completed"] - (here.validation != "none")
    fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps


def _counts(number: int) -> dict[str, int]:
    """Return Lightning's four counters, for events that are all finished."""
    return dict.fromkeys(("ready", "started", "processed", "completed"), number)
