"""Write the results of a test: metrics, and the predictions of every video."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from pks4_lightning.files import write_json
from pks4_lightning.tables import print_tables
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.scoring.class_report import ClassReport, confusion_counts
from pks4_lightning.training.scoring.failure_file import FailureFile
from pks4_lightning.training.scoring.prediction_files import prediction_file
from pks4_lightning.training.scoring.predictions import Prediction, best_labels
from pks4_lightning.training.scoring.score_report import report_scores
from pks4_lightning.training.scoring.view_aggregation import Failure, VideoScores
from pks4_lightning.training.scoring.view_scores import ViewScores
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["ReportWriter"]

logger = logging.getLogger(__name__)


class ReportWriter(TaskCallback):
    """Write the results of a test into the folder ``test`` of the run.

    ``predictions.csv`` has one row per video: path, label and the best classes with their scores,
    the mean softmax over the video's views. The order is that of the annotations, and every video
    appears once, however many ranks took part. ``failed.csv`` lists the videos that are missing or
    could not be decoded; ``metrics.json`` accounts for every listed video. ``per_class.csv`` has
    accuracy, precision and F1 of every class, ``confusion.csv`` and ``confusion.png`` the confusion
    matrix. With ``view_scores.npz``, ``pks4 rescore`` can score any subset of views.

    Args:
        num_best: Number of classes to write per video.
        made_by: What determines the results, by name; stored in ``metrics.json``.
    """

    def __init__(self, num_best: int = 5, *, made_by: Mapping[str, Any] | None = None) -> None:
        self.num_best = num_best
        self.made_by = dict(made_by or {})
        self._outputs: list[VideoScores] = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the scores of the batch."""
        self._outputs.append(outputs)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all files, and account for all videos."""
        views, paths, failures = self._gather(self.task.label_names)
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir) / "test"
        missing = self.task.source.missing_videos("test")
        result = views.per_video()
        names = views.label_names
        num_best = min(self.num_best, len(names))
        best = best_labels(result.scores, names, num_best=num_best)
        predictions = [
            Prediction(paths[index], names[label], labels)
            for index, label, labels in zip(
                result.video_index.tolist(), result.label.tolist(), best, strict=True
            )
        ]
        folder.mkdir(parents=True, exist_ok=True)
        failed = FailureFile(folder / "failed.csv")
        failed.append_missing(missing)
        failed.append(failures)
        failed.log_total()
        prediction_file(folder, "csv", num_best=num_best).write(predictions)
        views.save(folder / "view_scores.npz")
        split, annotations = self.task.source.test_split()
        report = report_scores(
            result,
            split=split,
            annotations=annotations,
            num_missing=len(missing),
            num_failed=len(failures),
        )
        write_json(folder / "metrics.json", {**report.as_dict(), "made_by": self.made_by})
        ClassReport(confusion_counts(result.scores, result.label)).write(folder, names)
        print_tables(report.as_table())
        logger.info("Wrote metrics.json and the files it is computed from to %s.", folder)

    def _gather(
        self, label_names: Sequence[str]
    ) -> tuple[ViewScores, dict[int, str], list[Failure]]:
        """Gather the outputs of all ranks, and clear them."""
        outputs, self._outputs = all_gather_objects(self._outputs), []
        paths = {
            index: path
            for videos in outputs
            for index, path in zip(videos.video_index.tolist(), videos.video_path, strict=True)
        }
        views = ViewScores(
            scores=_joined(videos.view_scores for videos in outputs),
            video_index=_joined(videos.video_index[videos.video_of_view] for videos in outputs),
            view_index=_joined(videos.view_index for videos in outputs),
            label=_joined(videos.label[videos.video_of_view] for videos in outputs),
            label_names=tuple(label_names),
        )
        failures = sorted(set(chain.from_iterable(videos.failures for videos in outputs)))
        return views, paths, failures


def _joined(tensors: Iterable[Tensor]) -> np.ndarray:
    joined: np.ndarray = torch.cat(list(tensors)).numpy()
    return joined
