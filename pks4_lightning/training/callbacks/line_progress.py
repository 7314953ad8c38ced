"""Progress as plain lines, for logs and pipes in which a bar would be unreadable."""

import logging
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from pks4_lightning.progress import time_left, write_progress

__all__ = ["LineProgress"]

logger = logging.getLogger(__name__)


class LineProgress(ProgressBar):
    """Log the progress of a stage every few seconds, and the metrics after each validation.

    The progress of the whole run is written to ``progress.json`` in its folder, for the program
    that started it.

    Args:
        every_seconds: Minimum time between two lines of one stage.
    """

    def __init__(self, every_seconds: float = 15.0) -> None:
        super().__init__()
        self.every_seconds = every_seconds
        self._enabled = True
        self._stage_start = 0.0
        self._last_line = 0.0
        self._share = 0.0
        self._share_before: float | None = None

    def enable(self) -> None:
        """Speak again."""
        self._enabled = True

    def disable(self) -> None:
        """Stay silent; Lightning requests this on all ranks but the first."""
        self._enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; an epoch that is resumed does not call `on_train_epoch_start`."""
        self._start()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember what a run that this one resumes has done."""
        if self._share_before is None:
            self._share_before = _share_of_training(trainer, batch_idx)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the progress of the training, and the loss."""
        epoch = _epoch(trainer)
        loss = f"loss {float(trainer.callback_metrics.get('train/loss', float('nan'))):.4f}"
        # not the bar's total: with a limit on steps it is what remains, which ends at 0
        done, total = batch_idx + 1, trainer.num_training_batches
        self._progress(epoch, done, total, loss, share=_share_of_training(trainer, done))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the results of the validation."""
        if self._enabled and not trainer.sanity_checking:
            metrics = "  ".join(
                f"{name} {float(value):.4f}"
                for name, value in sorted(trainer.callback_metrics.items())
                if name.startswith("val/")
            )
            logger.info(
                "%s  step %d  %s",
                _epoch(trainer),
                trainer.global_step,
                metrics,
            )
            self._record(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the test."""
        self._start()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the prediction."""
        self._start()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log the progress of the test."""
        self._progress("test", batch_idx + 1, sum(trainer.num_test_batches))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log the progress of the prediction."""
        self._progress("predict", batch_idx + 1, sum(trainer.num_predict_batches))

    def _start(self) -> None:
        self._stage_start = self._last_line = time.monotonic()
        self._share_before = None

    def _progress(
        self, stage: str, done: int, total: float, note: str = "", *, share: float | None = None
    ) -> None:
        """Log one line, unless the last one is too recent."""
        now = time.monotonic()
        self._share = done / total if share is None else share
        if not self._enabled or (now - self._last_line < self.every_seconds and done != total):
            return
        self._last_line = now
        elapsed = now - self._stage_start
        before = self._share_before or 0.0
        left = ""
        if before < self._share < 1.0:
            left = time_left(elapsed, done=self._share - before, total=1.0 - before)
        logger.info("%s  batch %d/%d  %s  %.0f s%s", stage, done, total, note, elapsed, left)
        self._record(self.trainer)

    def _record(self, trainer: Trainer) -> None:
        """Write the progress of the run, unless it is one that writes no files."""
        if getattr(trainer, "fast_dev_run", False):
            return
        note = _epoch(trainer) if trainer.state.fn == "fit" else ""
        if "val/top1" in trainer.callback_metrics:
            note += f", val/top1 {float(trainer.callback_metrics['val/top1']):.1%}"
        write_progress(Path(trainer.default_root_dir) / "progress.json", self._share, note)


def _share_of_training(trainer: Trainer, batches: int) -> float:
    """Return the share that is done: of epochs or steps, by the limit that will end the training.

    Args:
        trainer: The trainer.
        batches: How many batches of the epoch are done.
    """
    of_epoch = batches / trainer.num_training_batches
    shares = []
    if trainer.max_epochs and trainer.max_epochs > 0:
        shares.append((trainer.current_epoch + of_epoch) / trainer.max_epochs)
    if trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    return max(shares, default=0.0)


def _epoch(trainer: Trainer) -> str:
    """Describe the epoch, and the step if steps may end the training, each with its limit."""
    limited = trainer.max_epochs and trainer.max_epochs > 0
    of = f"/{trainer.max_epochs}" if limited else ""
    step = f", step {trainer.global_step}/{trainer.max_steps}" if trainer.max_steps > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of}{step}"
