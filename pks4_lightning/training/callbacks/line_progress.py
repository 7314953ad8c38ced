"""Progress as plain lines, for logs and pipes where a bar would draw over itself."""

import logging
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar

from pks4_lightning.progress import write_progress

__all__ = ["LineProgress"]

logger = logging.getLogger(__name__)


class LineProgress(ProgressBar):
    """Log how far a stage is every few seconds, and the metrics after each validation.

    How far the whole run is stands in ``progress.json`` in its folder, for whoever started it.

    Args:
        every_seconds: Least time between two lines of one stage.
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
        """Stay silent; Lightning asks this of all ranks but the first."""
        self._enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: an epoch that is resumed in its midst does not start again."""
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
        """Say how far the epoch is, and its loss."""
        epoch = _epoch(trainer)
        loss = f"loss {float(trainer.callback_metrics.get('train/loss', float('nan'))):.4f}"
        # not the bar's own total, which is what is left where steps end the training: 0 at its end
        self._progress(epoch, batch_idx + 1, trainer.num_training_batches, loss)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what the validation found."""
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
        """Say how far the test is."""
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
        """Say how far the prediction is."""
        self._progress("predict", batch_idx + 1, sum(trainer.num_predict_batches))

    def _start(self) -> None:
        self._stage_start = self._last_line = time.monotonic()
        self._done_before = None

    def _progress(self, stage: str, done: int, total: float, note: str = "") -> None:
        """Log one line unless the last one is too recent."""
        now = time.monotonic()
        self._share = done / total
        if self._done_before is None:
            self._done_before = done - 1  # by the run that this one continues
        if not self._enabled or (now - self._last_line < self.every_seconds and done != total):
            return
        self._last_line = now
        elapsed = now - self._stage_start
        left = elapsed / (done - self._done_before) * (total - done)
        logger.info(
            "%s  batch %d/%d  %s  %.0f s, %.0f s left", stage, done, total, note, elapsed, left
        )
        self._record(self.trainer)

    def _record(self, trainer: Trainer) -> None:
        """Write how far the run is, unless it is one that leaves nothing behind."""
        if getattr(trainer, "fast_dev_run", False):
            return
        share, note = self._share, ""
        if trainer.state.fn == "fit" and trainer.max_epochs and trainer.max_epochs > 0:
            share = (trainer.current_epoch + share) / trainer.max_epochs
            note = _epoch(trainer)
        elif trainer.state.fn == "fit" and trainer.max_steps > 0:
            share = trainer.global_step / trainer.max_steps
            note = f"step {trainer.global_step}/{trainer.max_steps}"
        if "val/top1" in trainer.callback_metrics:
            note += f", val/top1 {float(trainer.callback_metrics['val/top1']):.1%}"
        write_progress(Path(trainer.default_root_dir) / "progress.json", share, note)


def _epoch(trainer: Trainer) -> str:
    """Say which epoch it is, and of how many where that is known: steps may end a training."""
    of = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
    return f"epoch {trainer.current_epoch + 1}{of}"
