"""Keeps a list of the training videos that another one had to stand in for."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from pks4_lightning.files import atomic_write
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["FailureRecord"]


class FailureRecord(TaskCallback):
    """Write ``failed_train.txt`` into the run's folder: a sentence per video, after every epoch.

    Where every video could be decoded there is no such file.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the sentences of all ranks together and write them on the first."""
        sentences = sorted(set(all_gather_objects(self.task.source.failed_train_videos())))
        if trainer.is_global_zero and sentences:
            with atomic_write(Path(trainer.default_root_dir) / "failed_train.txt") as path:
                path.write_text("\n".join(sentences) + "\n")
