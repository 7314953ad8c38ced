"""Log pictures of each validation: confusion matrix and predicted clips."""

import logging
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from pks4_lightning.batch import VideoBatch
from pks4_lightning.pictures.confusion import confusion_matrix_figure
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.figures import log_figure, takes_figures
from pks4_lightning.training.scoring.class_report import confusion_counts
from pks4_lightning.training.scoring.view_aggregation import VideoScores
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["ValidationPictures"]

logger = logging.getLogger(__name__)


class ValidationPictures(TaskCallback):
    """Log a confusion matrix and a sheet of clips with their predictions.

    Args:
        num_clips: Number of clips on the sheet, the first ones of the first rank, so that the same
            clips can be compared across epochs.
    """

    def __init__(self, num_clips: int = 6) -> None:
        self.num_clips = num_clips
        self._clips: list[Tensor] = []
        self._titles: list[str] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the loggers that do not support figures."""
        for each in trainer.loggers:
            if not takes_figures(each):
                logger.info(
                    "%s does not support figures: the confusion matrix and the sheet of clips are "
                    "logged to TensorBoard, Weights & Biases, MLflow, Trackio and loggers with a "
                    "method log_figure.",
                    type(each).__name__,
                )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the counts and the sheet."""
        self._clips, self._titles = [], []
        self._confusion = np.zeros((self.task.config.num_classes,) * 2, dtype=np.int64)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch, and keep its first clips while there is room on the sheet."""
        videos: VideoScores = outputs
        self._confusion += confusion_counts(videos.scores.numpy(), videos.label.numpy())
        room = self.num_clips - len(self._clips)
        are_tokens = batch["video"].ndim == 4
        if room <= 0 or are_tokens or not trainer.is_global_zero:
            return
        names = self.task.label_names
        scores, predicted = videos.scores[:room].max(dim=-1)
        for row, index in enumerate(videos.video_index[:room]):
            view = int((batch["video_index"] == index).nonzero()[0])
            self._clips.append(batch["video"][view].cpu())
            truth, answer = names[int(videos.label[row])], names[int(predicted[row])]
            mark = "✓" if truth == answer else "✗"
            self._titles.append(f"{truth}\n{mark} {answer} ({float(scores[row]):.0%})")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw and log the pictures."""
        counts = np.sum(all_gather_objects([self._confusion]), axis=0)
        if (
            trainer.sanity_checking
            or not self._clips
            or not any(map(takes_figures, trainer.loggers))
        ):
            return
        pixels = self.task.source.to_pixels(torch.stack(self._clips)).numpy()
        figures = {
            "val/confusion": confusion_matrix_figure(counts, self.task.label_names),
            "val/clips": contact_sheet(pixels, self._titles),
        }
        for name, figure in figures.items():
            log_figure(trainer.loggers, name, figure, trainer.global_step)
