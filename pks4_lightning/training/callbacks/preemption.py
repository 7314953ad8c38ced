"""Stop all ranks together between two steps, on a signal or if the data fails.

Cluster schedulers send SIGTERM (or a signal of choice, such as SLURM's ``--signal=USR1@60``) some
time before they kill, to one rank, to some or to all. A signal handler cannot act safely while
ranks are in a collective, so ours only records the signal. After every batch the ranks exchange
these records and stop together.
If no batch arrives, before the first one or while waiting for one, there is no such moment: a
thread sees the signal even if the main thread is stuck in a library, and ends the process after a
grace period. Only the steps since the last checkpoint are lost.

The exchange is one all-reduce of two numbers per batch and, on a GPU, a synchronisation; Lightning
2.6 performs an all-reduce of that size and a synchronisation per batch as well.
"""

import logging
import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, WeightAveraging

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
"""Status that a shell reports for a process ended by SIGTERM: 128 + 15."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_GRACE = 8.0
"""Seconds after a signal in which a batch may still arrive."""
_POLL = 0.2
_noted: list[int] = []


class _Progress:
    """Progress of the run, for the thread that ends a stuck one."""

    def __init__(self) -> None:
        self.hooks = 0
        """Number of hooks called so far."""
        self.is_busy = False
        """Whether a step or the writing of a checkpoint is in progress; neither is interrupted."""


_progress = _Progress()


@contextmanager
def noting_signals() -> Iterator[None]:
    """Record SIGTERM and SIGUSR1 instead of dying; a :class:`Preemption` acts on them.

    If none of its hooks is called for 8 seconds after a signal, outside of a step, the process
    exits with status 143.
    """
    _noted.clear()
    _progress.is_busy = False
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set handlers
        return
    before = {number: signal.signal(number, _note) for number in _SIGNALS}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _note_and_interrupt)
    seen_by_thread, told = os.pipe()
    os.set_blocking(told, False)
    previous = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    thread = threading.Thread(target=_end_if_stuck, args=(seen_by_thread,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        os.close(told)  # the thread reads the end of the pipe and exits
        thread.join()
        os.close(seen_by_thread)
        for number, handler in before.items():
            signal.signal(number, handler)


def _note(number: int, _: Any) -> None:
    _noted.append(number)


def _end_if_stuck(signals: int) -> None:
    """Wait for a signal; then end the process if it calls no hook for a while."""
    while (number := os.read(signals, 1)) and number[0] not in _SIGNALS:
        pass
    if not number:
        return
    seen, waited = _progress.hooks, 0.0
    while waited < _GRACE:
        if select.select([signals], [], [], _POLL)[0] and not os.read(signals, 1):
            return
        moves = _progress.is_busy or _progress.hooks != seen
        seen, waited = _progress.hooks, 0.0 if moves else waited + _POLL
    name = signal.Signals(number[0]).name
    sentence = f"Stopped by {name}: no batch arrived within {_GRACE:g} seconds.\n"
    os.write(2, sentence.encode())
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(EXIT_STATUS)


def _note_and_interrupt(number: int, _: Any) -> None:
    """Interrupt as Python does; an exception raised in a destructor is lost, the record is not."""
    _noted.append(number)
    raise KeyboardInterrupt


class Preemption(TaskCallback, Checkpoint):
    """Stop all ranks at the same batch, with exit status 143, once one has received a signal.

    A training first saves ``last.ckpt``, after an optimiser step or during a validation, which a
    resumed run repeats from its start. Before the first step there is nothing to save. If the
    training data of a rank can no longer be used, all ranks end with the message of that rank.

    As a :class:`Checkpoint` it runs after the other callbacks, so that the file includes their
    changes after a step.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Disable Lightning's own SIGTERM handler."""
        super().setup(trainer, pl_module, stage)
        leave_signals_alone(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal arrived while everything was being built."""
        self._stop_if_asked(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if a signal arrived while the first videos were being read."""
        self._stop_if_asked(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Mark the beginning of a step, which is not interrupted."""
        self._pass_hook(is_busy=True)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let the file be written, until the next hook."""
        self._pass_hook(is_busy=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Exchange records; stop after an optimiser step.

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
        self._pass_hook()

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Exchange records and stop, also during a training's validation."""
        if not _on_any_rank(trainer, bool(_noted))[0]:
            self._pass_hook(is_busy=True)
            return
        in_training = trainer.state.fn == "fit" and not trainer.sanity_checking
        for callback in callbacks(trainer) if in_training else []:
            if isinstance(callback, WeightAveraging):
                callback.on_validation_epoch_end(trainer, pl_module)  # restores the trained weights
        self._stop(trainer, save=in_training)

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Exchange records and stop."""
        self._stop_if_asked(trainer)
        self._pass_hook(is_busy=True)

    on_predict_batch_start = on_test_batch_start

    def _pass_hook(self, *_: Any, is_busy: bool = False, **__: Any) -> None:
        """Record that the run makes progress."""
        _progress.hooks += 1
        _progress.is_busy = is_busy

    on_train_epoch_start = on_train_epoch_end = on_train_end = _pass_hook
    on_sanity_check_start = on_sanity_check_end = _pass_hook
    on_validation_start = on_validation_batch_end = on_validation_end = _pass_hook
    on_test_start = on_test_batch_end = on_test_end = _pass_hook
    on_predict_start = on_predict_batch_end = on_predict_end = _pass_hook

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if _on_any_rank(trainer, bool(_noted))[0]:
            self._stop(trainer, save=False)

    def _stop(self, trainer: Trainer, *, save: bool) -> None:
        """End this rank; all others end at the same place."""
        forget_other_ranks(trainer)
        trainer.strategy.barrier("preemption")
        by = signal.Signals(_noted[0]).name if _noted else "a signal to another rank"
        keeps = any(isinstance(each, ModelCheckpoint) for each in trainer.checkpoint_callbacks)
        if save and keeps and not is_fast_dev_run(trainer):
            self._pass_hook(is_busy=True)
            folder = getattr(trainer.checkpoint_callback, "dirpath", None)
            path = Path(folder or Path(trainer.default_root_dir) / "checkpoints") / "last.ckpt"
            trainer.save_checkpoint(path)
            logger.info("Stopped by %s at step %d; saved %s.", by, trainer.global_step, path)
        else:
            logger.info("Stopped by %s.", by)
        raise SystemExit(EXIT_STATUS)


def _on_any_rank(trainer: Trainer, *flags: bool) -> list[bool]:
    """Return, on every rank, which flags are set on any rank."""
    device = trainer.strategy.root_device
    together = all_reduce_max(torch.tensor(flags, dtype=torch.int32, device=device))
    return [bool(flag) for flag in together.tolist()]
