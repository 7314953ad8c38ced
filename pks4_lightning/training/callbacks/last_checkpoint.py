"""The checkpoint that a killed run goes on from."""

from datetime import timedelta
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from pks4_lightning.training.lightning_internals import add_triggers, is_within_a_step

__all__ = ["LastCheckpoint"]


class LastCheckpoint(ModelCheckpoint):
    """Save after every epoch and, as epochs may take hours, every few minutes in between.

    It saves only where an optimiser step has ended, because gradients that are still being
    accumulated are not part of a checkpoint; and not at an epoch's last batch, because the end of
    the epoch, which knows the validation's outcome, follows.

    Args:
        every_n_minutes: Between two checkpoints within an epoch; ``null`` saves none for the sake
            of time.
        given: Those of Lightning's ``ModelCheckpoint``. Its triggers are in addition.
    """

    def __init__(self, *, every_n_minutes: float | None = 15.0, **given: Any) -> None:
        super().__init__(**given)
        every = None if every_n_minutes is None else timedelta(minutes=every_n_minutes)
        add_triggers(self, every=every)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, and if a resumed run can go on from here."""
        if not trainer.is_last_batch and not is_within_a_step(trainer):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
