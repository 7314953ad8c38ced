"""One checkpoint evaluated many times: what `pks4 test` or `predict` builds, started by us."""

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
    """Times the model in a test: not the decoding, nor the first batch where there are others.

    One thread on a CPU is timed by the processor time it gets, which other jobs on the machine
    hardly change; anything else by the clock on the wall.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._clips: list[int] = []
        self._began = 0.0

    @property
    def clips_per_second(self) -> float:
        """Clips that the model took in a second."""
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
    """Build the model, data module and trainer of a command, in one process.

    Args:
        command: ``test`` or ``predict``.
        checkpoint: A checkpoint of `pks4 fit`, or an export.
        settings: Any settings of the command, such as ``--data.num_frames=16``.
        listener: A callback of the trainer, besides those that every run has.

    Returns:
        The command line, with ``model``, ``datamodule`` and ``trainer``; nothing has run.
    """
    args = [command, f"--ckpt_path={checkpoint}", *settings, "--trainer.devices=1"]
    return run_cli(args, start=False, callbacks=[] if listener is None else [listener])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep from the terminal what every single evaluation has to say, apart from warnings."""
    names = ("pks4_lightning", "lightning.pytorch", "lightning.fabric")
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # nothing a user could do: Lightning 2.6 with torch 2.13; a folder for each cell
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
