"""Save the checkpoint from which an interrupted run resumes."""

from datetime import timedelta
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from pks4_lightning.training.lightning_internals import add_triggers, is_within_a_step

__all__ = ["LastCheckpoint"]


class LastCheckpoint(ModelCheckpoint):
    """Save after every epoch and, because epochs may take hours, every few minutes.

    It saves only after an optimiser step, because accumulated gradients are not part of a
    checkpoint; and not at the last batch of an epoch, because the save at the end of the epoch,
    after validation, follows.

    Args:
        every_n_minutes: Interval between checkpoints within an epoch; ``null`` disables these.
        given: Arguments of Lightning's ``ModelCheckpoint``. Its triggers apply as well.
    """

    def __init__(self, *, every_n_minutes: float | None = 15.0, **given: Any) -> None:
        super().__init__(**given)
        every = None if every_n_minutes is None else timedelta(minutes=every_n_minutes)
        add_triggers(self, every=every)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, and if a run can be resumed from here."""
        if not trainer.is_last_batch and not is_within_a_step(trainer):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
