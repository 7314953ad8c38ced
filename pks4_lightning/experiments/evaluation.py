"""Evaluate a checkpoint repeatedly, as `pks4 test` or `predict` would, from Python."""

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pks4_lightning.cli.lightning_cli import PKS4CLI, run_cli

__all__ = ["Stopwatch", "build", "quiet"]


class Stopwatch(Callback):
    """Times the model in a test, without decoding and, if there are others, the first batch.

    On a CPU with one thread, processor time is used, which other jobs on the machine hardly affect;
    otherwise wall-clock time.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._clips: list[int] = []
        self._began = 0.0

    @property
    def clips_per_second(self) -> float:
        """Clips that the model processes per second."""
        first = 1 if len(self._clips) > 1 else 0
        return sum(self._clips[first:]) / max(sum(self._seconds[first:]), 1e-9)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Start."""
        self._began = _now(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop."""
        self._seconds.append(_now(pl_module.device) - self._began)
        self._clips.append(len(batch["label"]))


def build(
    command: str, checkpoint: str, settings: list[str], *, listener: Callback | None = None
) -> PKS4CLI:
    """Build the model, data module and trainer of a command, in this process.

    Args:
        command: ``test`` or ``predict``.
        checkpoint: A checkpoint of `pks4 fit`, or an export.
        settings: Any settings of the command, such as ``--data.num_frames=16``.
        listener: A callback of the trainer, in addition to those that every run has.

    Returns:
        The command line object, with ``model``, ``datamodule`` and ``trainer``; nothing has run.
    """
    args = [command, f"--ckpt_path={checkpoint}", *settings, "--trainer.devices=1"]
    return run_cli(args, start=False, callbacks=[] if listener is None else [listener])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output of single evaluations on the terminal, except warnings."""
    names = ("pks4_lightning", "lightning.pytorch", "lightning.fabric")
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # users can do nothing about these: Lightning 2.6 with torch 2.13; a folder per cell
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            warnings.filterwarnings("ignore", message="The dirpath has changed")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()
