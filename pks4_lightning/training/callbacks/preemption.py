"""Ends a run between two steps, on all ranks alike: when a signal asks for it, or the data fail.

Cluster schedulers send SIGTERM (or a signal of choice, such as SLURM's ``--signal=USR1@60``) some
time before they kill, to one rank, to some or to all. A handler can do nothing safely while ranks
are in the midst of a collective, so ours only takes a note. After every batch the ranks compare
their notes and stop together.

The comparison is one all-reduce of two numbers per batch, and on a GPU a wait for the batch; an
all-reduce of that size and that wait are what Lightning 2.6 does per batch as well.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging

from pks4_lightning.training.distributed import all_gather_objects, all_reduce_max
from pks4_lightning.training.lightning_internals import (
    callbacks,
    forget_other_ranks,
    is_fast_dev_run,
    leave_signals_alone,
)
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["EXIT_STATUS", "Preemption", "noting_signals"]

logger = logging.getLogger(__name__)

EXIT_STATUS = 143
"""What a shell reports of a process that SIGTERM has ended: 128 + 15."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_noted: list[int] = []


@contextmanager
def noting_signals() -> Iterator[None]:
    """Take notes of SIGTERM and SIGUSR1 instead of dying; a :class:`Preemption` acts on them."""
    _noted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread can set handlers
        return
    before = {number: signal.signal(number, _note) for number in _SIGNALS}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _note_and_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _note(number: int, _: Any) -> None:
    _noted.append(number)


def _note_and_interrupt(number: int, _: Any) -> None:
    """Interrupt as Python does; raised in a destructor that is lost, and the note stops the run."""
    _noted.append(number)
    raise KeyboardInterrupt


class Preemption(TaskCallback, Checkpoint):
    """Stop all ranks at the same batch, with exit status 143, once one of them has noted a signal.

    A training saves ``last.ckpt`` first. It does so after an optimiser step, or in a validation,
    which a resumed run then does from its start. Before the first step there is nothing to save.
    Where a rank's training data can no longer be used, all ranks end with that rank's sentence.

    As a :class:`Checkpoint` it comes after the other callbacks, so that what they do after a step
    is in the file.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep Lightning's own handler of SIGTERM away."""
        super().setup(trainer, pl_module, stage)
        leave_signals_alone(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal came while everything was being built."""
        self._stop_if_asked(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal came while the first videos were being read."""
        self._stop_if_asked(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Compare notes; stop after an optimiser step.

        Raises:
            ValueError: On all ranks, if one has met too many videos that cannot be decoded.
        """
        refusal = self.task.source.refusal()
        asked, refused = _on_any_rank(trainer, bool(_noted), refusal is not None)
        if refused:
            raise ValueError(all_gather_objects([refusal] if refusal else [])[0])
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if asked and stepped:
            self._stop(trainer, save=True)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compare notes and stop; also in the midst of a training's validation."""
        if not _on_any_rank(trainer, bool(_noted))[0]:
            return
        in_training = trainer.state.fn == "fit" and not trainer.sanity_checking
        for callback in callbacks(trainer) if in_training else []:
            if isinstance(callback, WeightAveraging):
                callback.on_validation_epoch_end(trainer, pl_module)  # puts the trained ones back
        self._stop(trainer, save=in_training)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compare notes and stop."""
        self._stop_if_asked(trainer)

    on_predict_batch_start = on_test_batch_start

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if _on_any_rank(trainer, bool(_noted))[0]:
            self._stop(trainer, save=False)

    def _stop(self, trainer: Trainer, *, save: bool) -> None:
        """End this rank, as all others do at the same place."""
        forget_other_ranks(trainer)
        trainer.strategy.barrier("preemption")
        by = signal.Signals(_noted[0]).name if _noted else "a signal to another rank"
        if save and not is_fast_dev_run(trainer):
            folder = getattr(trainer.checkpoint_callback, "dirpath", None)
            path = Path(folder or Path(trainer.default_root_dir) / "checkpoints") / "last.ckpt"
            trainer.save_checkpoint(path)
            logger.info("Stopped by %s at step %d; saved %s.", by, trainer.global_step, path)
        else:
            logger.info("Stopped by %s.", by)
        raise SystemExit(EXIT_STATUS)


def _on_any_rank(trainer: Trainer, *flags: bool) -> list[bool]:
    """Return which flags are set on any rank, on every rank."""
    device = trainer.strategy.root_device
    together = all_reduce_max(torch.tensor(flags, dtype=torch.int32, device=device))
    return [bool(flag) for flag in together.tolist()]
