"""Write predictions as they are made."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from rich.table import Table

from pks4_lightning.files import shown_name
from pks4_lightning.locks import hold_folder
from pks4_lightning.tables import print_tables
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.scoring.failure_file import FailureFile
from pks4_lightning.training.scoring.made_by import check_made_by, write_made_by
from pks4_lightning.training.scoring.prediction_files import (
    PredictionFile,
    PredictionFormat,
    prediction_file,
)
from pks4_lightning.training.scoring.predictions import Prediction, best_labels
from pks4_lightning.training.scoring.view_aggregation import VideoScores
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["PredictionWriter"]

logger = logging.getLogger(__name__)


class PredictionWriter(TaskCallback):
    """Write the predictions of every video, batch by batch.

    ``predictions.csv`` (or ``.json``, ``.jsonl``) has one line per video: its path and its best
    classes with their scores, the mean softmax over the video's views. The order is that of the
    list, and every video appears once, however many ranks take part. ``failed.csv`` lists the
    videos that are missing or cannot be decoded. Both files are complete after every batch.

    Args:
        out: Folder of the files; ``None``: ``predict`` in the run's folder.
        num_best: Classes per video; ``None``: all.
        file_format: Format of the predictions.
        resume: Keep the predictions in ``out``, and predict only the other videos.
        made_by: Settings that determine the scores, by name. They are stored beside the
            predictions, which can be continued only with the same settings.
        num_shown: Number of predictions to show on the terminal as well.
    """

    def __init__(
        self,
        out: str | Path | None = None,
        *,
        num_best: int | None = 5,
        file_format: PredictionFormat = "csv",
        resume: bool = False,
        made_by: Mapping[str, Any] | None = None,
        num_shown: int = 20,
    ) -> None:
        self.out = None if out is None else Path(out)
        self.num_best = num_best
        self.file_format: PredictionFormat = file_format
        self.resume = resume
        self.made_by = dict(made_by or {})
        self.num_shown = num_shown
        self._shown: list[Prediction] = []
        self._num_scored = 0
        self._held = ExitStack()
        self._file: PredictionFile
        self._failed: FailureFile

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Open the files, before anything is decoded.

        Raises:
            FileExistsError: If there are predictions and ``resume`` is not set.
            OSError: If the folder cannot be written, or another command is writing to it.
            ValueError: If they were made with other settings, or are not predictions.
        """
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        num_classes = self.task.config.num_classes
        num_best = min(self.num_best or num_classes, num_classes)
        folder = self.out or Path(trainer.default_root_dir) / "predict"
        done: list[str] = []
        if trainer.is_global_zero:
            self._file = prediction_file(folder, self.file_format, num_best=num_best)
            done = self._open(
                folder, self.made_by | {"num_best": num_best, "format": self.file_format}
            )
            self._failed.append_missing(self.task.source.missing_videos("predict"))
            self._num_scored = len(done)
        if not self.task.source.leave_out(trainer.strategy.broadcast(done)):
            trainer.limit_predict_batches = 0  # nothing is left to do

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch of all ranks."""
        names = self.task.label_names or list(map(str, range(self.task.config.num_classes)))
        scored = all_gather_objects(_predictions(outputs, names, self.num_best))
        failures = all_gather_objects(outputs.failures)
        if not trainer.is_global_zero:
            return
        self._failed.append(failures)
        if scored:
            predictions = [prediction for _, prediction in sorted(scored)]
            self._file.append(predictions)
            self._num_scored += len(predictions)
            self._shown += predictions[: self.num_shown - len(self._shown)]

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the first few predictions.

        Raises:
            ValueError: If no video could be scored.
        """
        if not trainer.is_global_zero:
            return
        self._failed.log_total()
        if not self._num_scored:
            raise ValueError(f"No video could be scored; {self._failed.path} gives the reasons.")
        print_tables(self._first_few())
        logger.info("Wrote %d predictions to %s.", self._num_scored, self._file.path)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let other commands write to the folder."""
        self._held.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Let other commands write to the folder."""
        self._held.close()

    def _open(self, folder: Path, made_by: Mapping[str, Any]) -> list[str]:
        """Prepare the folder and its files; return the paths of already predicted videos."""
        self._held.enter_context(hold_folder(folder, what="predictions"))
        record = folder / "made_by.json"
        found = sorted(folder.glob("predictions.*"))
        kept: list[Prediction] = []
        if found and not self.resume:
            raise FileExistsError(
                f"{found[0]} already contains predictions: add to them with --resume, or choose "
                "another folder with --out."
            )
        if found:
            check_made_by(record, made_by, what="predictions")
            kept = self._file.read()
        write_made_by(record, made_by)
        self._failed = FailureFile(folder / "failed.csv")
        if found:
            logger.info("%d videos in %s already have predictions.", len(kept), self._file.path)
        return [prediction.video_path for prediction in kept]

    def _first_few(self) -> Table:
        table = Table("video", "prediction", "score")
        for video_path, _, best in self._shown:
            table.add_row(shown_name(video_path), best[0].name, f"{best[0].score:.3f}")
        if self._num_scored > len(self._shown):
            table.add_row(f"... and {self._num_scored - len(self._shown)} more", "", "")
        return table


def _predictions(
    videos: VideoScores, names: Sequence[str], num_best: int | None
) -> list[tuple[int, Prediction]]:
    """Return the prediction of each video, with the video's position in the list."""
    best = best_labels(videos.scores.numpy(), names, num_best=num_best)
    return [
        (index, Prediction(path, names[label] if label >= 0 else "", labels))
        for index, path, label, labels in zip(
            videos.video_index.tolist(), videos.video_path, videos.label.tolist(), best, strict=True
        )
    ]
