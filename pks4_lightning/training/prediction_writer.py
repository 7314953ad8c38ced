"""Writes what a test or a prediction says about every single video."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from pks4_lightning.files import replace_whole
from pks4_lightning.training.task import VideoClassificationTask
from pks4_lightning.training.view_aggregation import VideoScores

__all__ = ["PredictionWriter"]

logger = logging.getLogger(__name__)

Row = tuple[int, list[Any]]


class PredictionWriter(Callback):
    """Write ``predictions.csv`` and, after a test, ``metrics.json`` into a folder of the run.

    The folder is ``test`` or ``predict`` in the trainer's ``default_root_dir``. A row holds the
    video's path, its label (empty where it is not known) and the best classes with their scores,
    the mean softmax over the video's views. Rows stand in the order of the annotation file; every
    video stands there once, however many ranks took part.

    Args:
        num_best: How many classes to write per video.
        num_shown: How many predictions to show on the terminal as well.
    """

    def __init__(self, num_best: int = 5, num_shown: int = 20) -> None:
        self.num_best = num_best
        self.num_shown = num_shown
        self._rows: list[Row] = []

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's rows."""
        self._keep(pl_module, outputs)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's rows."""
        self._keep(pl_module, outputs)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the predictions of all ranks, and the metrics."""
        num_videos = self._write(trainer, "test")
        if trainer.is_global_zero:
            metrics = {
                name: round(value.item(), 6) for name, value in trainer.callback_metrics.items()
            }
            with replace_whole(_folder(trainer, "test") / "metrics.json") as path:
                path.write_text(json.dumps({**metrics, "num_videos": num_videos}, indent=2) + "\n")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the predictions of all ranks and show the first few."""
        shown = sorted(self._rows)[: self.num_shown]
        num_videos = self._write(trainer, "predict")
        if trainer.is_global_zero:
            table = Table("video", "prediction", "score")
            for _, (path, _label, best, score, *_others) in shown:
                table.add_row(Path(path).name, best, score)
            Console().print(table)
            if num_videos > len(shown):
                logger.info("... and %d more.", num_videos - len(shown))

    def _keep(self, pl_module: LightningModule, videos: VideoScores) -> None:
        assert isinstance(pl_module, VideoClassificationTask)
        names = pl_module.label_names or [str(i) for i in range(pl_module.config.num_classes)]
        best = videos.scores.topk(min(self.num_best, len(names)), dim=-1)
        for path, video_index, label, classes, scores in zip(
            videos.video_path,
            videos.video_index.tolist(),
            videos.label.tolist(),
            best.indices.tolist(),
            best.values.tolist(),
            strict=True,
        ):
            row = [path, names[label] if label >= 0 else ""]
            for index, score in zip(classes, scores, strict=True):
                row += [names[index], f"{score:.6f}"]
            self._rows.append((video_index, row))

    def _write(self, trainer: Trainer, stage: str) -> int:
        """Gather the rows of all ranks and write them on the first; return their number."""
        rows = _gather(self._rows)
        self._rows = []
        if trainer.is_global_zero:
            num_best = (len(rows[0][1]) - 2) // 2 if rows else self.num_best
            header = ["video_path", "label"]
            for k in range(1, num_best + 1):
                header += [f"top{k}", f"score{k}"]
            target = _folder(trainer, stage) / "predictions.csv"
            with replace_whole(target) as path, path.open("w", newline="") as file:
                csv.writer(file).writerows([header, *(row for _, row in sorted(rows))])
            logger.info("Wrote the predictions for %d videos to %s.", len(rows), target)
        return len(rows)


def _folder(trainer: Trainer, stage: str) -> Path:
    return Path(trainer.default_root_dir) / stage


def _gather(rows: list[Row]) -> list[Row]:
    """Return the rows of all ranks."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    per_rank: list[list[Row]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(per_rank, rows)
    return [row for rank_rows in per_rank for row in rank_rows]
