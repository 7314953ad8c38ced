"""Keeps a list of the training videos that another one had to stand in for."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from pks4_lightning.files import replace_whole
from pks4_lightning.training.distributed import from_all_ranks

__all__ = ["FailureRecord"]


class FailureRecord(Callback):
    """Write ``failed_train.txt`` into the run's folder: a sentence per video, after every epoch.

    Where every video could be decoded there is no such file.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the sentences of all ranks together and write them on the first."""
        sentences = sorted(set(from_all_ranks(trainer.datamodule.failed_train_videos())))  # type: ignore[attr-defined]
        if trainer.is_global_zero and sentences:
            with replace_whole(Path(trainer.default_root_dir) / "failed_train.txt") as path:
                path.write_text("\n".join(sentences) + "\n")
