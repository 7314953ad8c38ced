"""Record the time and memory that a training takes."""

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pks4_lightning.files import write_json

__all__ = ["RunCost", "peak_memory_mib"]


class RunCost(Callback):
    """Write ``cost.json`` beside the checkpoints after every epoch.

    ``seconds`` is the wall-clock time from the first step on, validation included, over all
    sessions of a training; interrupted epochs do not count. ``peak_memory_mb`` is that of the first
    rank's process, in MiB; the commit is that of the source tree, if there is one.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, continuing that of an interrupted training."""
        self._path = Path(trainer.default_root_dir) / "checkpoints" / "cost.json"
        before = (
            json.loads(self._path.read_text(encoding="utf-8"))
            if _is_resumed(trainer, self._path)
            else {}
        )
        self._seconds_before = before.get("seconds", 0.0)
        self._peak_before = before.get("peak_memory_mb", 0.0)
        self._commit = _source_commit()
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the cost so far."""
        if not trainer.is_global_zero or trainer.checkpoint_callback is None:
            return
        peak = peak_memory_mib(trainer.strategy.root_device)
        cost = {
            "epochs": trainer.current_epoch + 1,
            "seconds": round(self._seconds_before + time.monotonic() - self._start, 1),
            "peak_memory_mb": round(max(self._peak_before, peak), 1),
            "commit": self._commit,
        }
        write_json(self._path, cost)


def peak_memory_mib(device: torch.device) -> float:
    """Return the peak memory of this process, in MiB.

    Args:
        device: For a GPU: memory allocated on it by torch. Otherwise: resident memory.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _is_resumed(trainer: Trainer, path: Path) -> bool:
    return trainer.global_step > 0 and path.is_file()


def _source_commit() -> str:
    """Return the commit of the source tree; empty outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip()
