"""Writes what a test or a prediction says about every single video."""

import csv
import json
import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from pks4_lightning.files import atomic_write
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.scoring.score_report import report_scores
from pks4_lightning.training.scoring.view_aggregation import Failure, VideoScores
from pks4_lightning.training.scoring.view_scores import VideoResult, ViewScores
from pks4_lightning.training.task import VideoClassificationTask

__all__ = ["PredictionWriter"]

logger = logging.getLogger(__name__)


class PredictionWriter(Callback):
    """Write what came out for every video into the folder ``test`` or ``predict`` of the run.

    ``predictions.csv`` holds a row per video: path, label (empty where it is not known) and the
    best classes with their scores, the mean softmax over the video's views, in the order of the
    annotations, every video once however many ranks took part. ``failed.csv`` names the videos
    that are missing or could not be decoded. A test adds ``metrics.json``, which accounts for
    every listed video, and ``view_scores.npz``, from which ``pks4 rescore`` scores any views again.

    Args:
        num_best: How many classes to write per video.
        num_shown: How many predictions to show on the terminal as well.
    """

    def __init__(self, num_best: int = 5, num_shown: int = 20) -> None:
        self.num_best = num_best
        self.num_shown = num_shown
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
        """Keep the batch's scores."""
        self._outputs.append(outputs.on_cpu())

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's scores."""
        self._outputs.append(outputs.on_cpu())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything, and account for the videos."""
        assert isinstance(pl_module, VideoClassificationTask)
        views, paths, failures = self._gather(pl_module.label_names)
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir) / "test"
        missing = trainer.datamodule.missing_videos("test")  # type: ignore[attr-defined]
        result = views.per_video()
        _write_failed(folder / "failed.csv", missing, failures)
        self._write_predictions(folder / "predictions.csv", result, paths, views.label_names)
        views.save(folder / "view_scores.npz")
        report = report_scores(result, num_missing=len(missing), num_failed=len(failures))
        with atomic_write(folder / "metrics.json") as path:
            path.write_text(json.dumps(report.as_dict(), indent=2) + "\n")
        Console().print(report.as_table())
        logger.info("Wrote %s/{metrics.json,predictions.csv,view_scores.npz}.", folder)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the predictions of all ranks and show the first few."""
        assert isinstance(pl_module, VideoClassificationTask)
        names = pl_module.label_names or map(str, range(pl_module.config.num_classes))
        views, paths, failures = self._gather(list(names))
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir) / "predict"
        result = views.per_video()
        _write_failed(folder / "failed.csv", [], failures)
        self._write_predictions(folder / "predictions.csv", result, paths, views.label_names)
        Console().print(self._first_few(result, paths, views.label_names))
        logger.info("Wrote %d predictions to %s/predictions.csv.", len(result.label), folder)

    def _gather(
        self, label_names: Sequence[str]
    ) -> tuple[ViewScores, dict[int, str], list[Failure]]:
        """Bring the outputs of all ranks together and forget them."""
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
        for failure in failures[:3]:
            logger.warning("%s", failure.reason)
        if len(failures) > 3:
            logger.warning("... and %d more videos failed.", len(failures) - 3)
        return views, paths, failures

    def _write_predictions(
        self, target: Path, result: VideoResult, paths: dict[int, str], names: Sequence[str]
    ) -> None:
        num_best = min(self.num_best, len(names))
        best = np.argsort(-result.scores, axis=1, kind="stable")[:, :num_best]
        header = ["video_path", "label"]
        for k in range(1, num_best + 1):
            header += [f"top{k}", f"score{k}"]
        with atomic_write(target) as path, path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for row, index in enumerate(result.video_index.tolist()):
                label = int(result.label[row])
                cells = [paths[index], names[label] if label >= 0 else ""]
                for k in best[row]:
                    cells += [names[k], f"{result.scores[row, k]:.6f}"]
                writer.writerow(cells)

    def _first_few(self, result: VideoResult, paths: dict[int, str], names: Sequence[str]) -> Table:
        table = Table("video", "prediction", "score")
        for row, index in enumerate(result.video_index[: self.num_shown].tolist()):
            best = int(result.scores[row].argmax())
            table.add_row(Path(paths[index]).name, names[best], f"{result.scores[row, best]:.3f}")
        if len(result.label) > self.num_shown:
            table.add_row(f"... and {len(result.label) - self.num_shown} more", "", "")
        return table


def _write_failed(target: Path, missing: Sequence[str], failures: Sequence[Failure]) -> None:
    """Name the videos that could not be scored; remove a list that no longer holds."""
    rows = [(path, "missing") for path in missing] + [tuple(failure) for failure in failures]
    if not rows:
        target.unlink(missing_ok=True)
        return
    with atomic_write(target) as path, path.open("w", newline="") as file:
        csv.writer(file).writerows([("video_path", "reason"), *rows])
    logger.warning("%d videos could not be scored; %s names them.", len(rows), target)


def _joined(tensors: Any) -> np.ndarray:
    joined: np.ndarray = torch.cat(list(tensors)).numpy()
    return joined
