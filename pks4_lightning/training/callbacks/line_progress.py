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
        self._done_before: int | None = None
        self._share = 0.0

    def enable(self) -> None:
        """Speak again."""
        self._enabled = True

    def disable(self) -> None:
        """Stay silent; Lightning requests this on all ranks but the first."""
        self._enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; an epoch that is resumed does not call `on_train_epoch_start`."""
        self._start()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._start()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the progress of the epoch, and its loss."""
        epoch = _epoch(trainer)
        loss = f"loss {float(trainer.callback_metrics.get('train/loss', float('nan'))):.4f}"
        # not the bar's total: with a limit on steps it is what remains, which ends at 0
        self._progress(epoch, batch_idx + 1, trainer.num_training_batches, loss)

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
        self._done_before = None

    def _progress(self, stage: str, done: int, total: float, note: str = "") -> None:
        """Log one line, unless the last one is too recent."""
        now = time.monotonic()
        self._share = done / total
        if self._done_before is None:
            self._done_before = done - 1  # by the run that this one resumes
        if not self._enabled or (now - self._last_line < self.every_seconds and done != total):
            return
        self._last_line = now
        elapsed = now - self._stage_start
        left = time_left(elapsed, done=done - self._done_before, total=total - self._done_before)
        logger.info("%s  batch %d/%d  %s  %.0f s%s", stage, done, total, note, elapsed, left)
        self._record(self.trainer)

    def _record(self, trainer: Trainer) -> None:
        """Write the progress of the run, unless it is one that writes no files."""
        if getattr(trainer, "fast_dev_run", False):
            return
        share, note = self._share, ""
        if trainer.state.fn == "fit":
            # of epochs and steps, the limit that will end the training
            shares = []
            if trainer.max_epochs and trainer.max_epochs > 0:
                shares.append((trainer.current_epoch + share) / trainer.max_epochs)
            if trainer.max_steps > 0:
                shares.append(trainer.global_step / trainer.max_steps)
            share, note = max(shares, default=share), _epoch(trainer)
        if "val/top1" in trainer.callback_metrics:
            note += f", val/top1 {float(trainer.callback_metrics['val/top1']):.1%}"
        write_progress(Path(trainer.default_root_dir) / "progress.json", share, note)


def _epoch(trainer: Trainer) -> str:
    """Describe the epoch, and the step if steps may end the training, each with its limit."""
    limited = trainer.max_epochs and trainer.max_epochs > 0
    of = f"/{trainer.max_epochs}" if limited else ""
    step = f", step {trainer.global_step}/{trainer.max_steps}" if trainer.max_steps > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of}{step}"
