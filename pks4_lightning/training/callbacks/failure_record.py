"""List the training videos that had to be replaced by others."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from pks4_lightning.files import ANY_NAME, atomic_write
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["FailureRecord"]


class FailureRecord(TaskCallback):
    """Write ``failed_train.txt`` into the run's folder after every epoch, one sentence per video.

    If all videos could be decoded, there is no such file.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the sentences of all ranks and write them on the first one."""
        sentences = sorted(set(all_gather_objects(self.task.source.failed_train_videos())))
        if trainer.is_global_zero and sentences:
            with atomic_write(Path(trainer.default_root_dir) / "failed_train.txt") as path:
                path.write_text(
                    "".join(f"{sentence}\n" for sentence in sentences),
                    encoding="utf-8",
                    errors=ANY_NAME,
                )
