"""End a run that has stalled, and report where it was.

A rank that waits for ever, for a disk, for a lock, or in a collective for a rank that is gone,
occupies its GPUs until somebody notices. A thread on every rank checks that batches are completed.
If none is for too long, it writes the stack of every Python thread and the videos that the data
workers are processing, then kills the rank with all its workers and the other ranks on this
machine. Ranks on other machines stall too, and end in the same way.
"""

import faulthandler
import multiprocessing
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from pks4_lightning.ranges import check_positive
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["EXIT_STATUS", "Watchdog"]

EXIT_STATUS = 75
"""Status with which mail systems ask for a retry (``EX_TEMPFAIL``)."""

_MAX_GRACE = 5.0
"""Seconds that other ranks have to write their reports."""


class Watchdog(TaskCallback):
    """End a run with exit status 75 if it completes no batch for too long.

    Args:
        timeout: Maximum number of seconds for a batch of any stage, and also for writing a
            checkpoint or building a model. The first batch may include a compilation, and a rank
            may have to wait for others. ``null`` disables the watchdog.

    Raises:
        ValueError: If ``timeout`` is not positive.
    """

    def __init__(self, timeout: float | None = 900.0) -> None:
        check_positive({"watchdog.timeout": timeout})
        self.timeout = timeout
        self._beats = 0
        self._finished = threading.Event()
        self._thread: threading.Thread | None = None
        self._others: list[int] = []
        self._is_first = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the other ranks on this machine, and start the thread."""
        super().setup(trainer, pl_module, stage)
        here = (socket.gethostname(), _process_namespace())
        ranks = all_gather_objects([(*here, os.getpid())])
        if self.timeout is None or self._thread is not None:
            return
        pids = [pid for *there, pid in ranks if tuple(there) == here]
        self._is_first = pids[0] == os.getpid()
        pids.remove(os.getpid())
        self._others = [os.pidfd_open(pid) for pid in pids] if hasattr(os, "pidfd_open") else []
        self._finished.clear()
        self._thread = threading.Thread(target=self._watch, args=(trainer,), daemon=True)
        self._thread.start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop watching."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stop watching: the run is ending."""
        self._stop()

    def _beat(self, *args: Any, **kwargs: Any) -> None:
        """Record that the run makes progress."""
        self._beats += 1

    on_fit_start = on_sanity_check_start = on_sanity_check_end = _beat
    on_train_start = on_train_epoch_start = on_train_epoch_end = on_train_end = _beat
    on_train_batch_start = on_train_batch_end = on_before_optimizer_step = _beat
    on_validation_start = on_validation_epoch_end = on_validation_end = _beat
    on_validation_batch_start = on_validation_batch_end = _beat
    on_test_start = on_test_epoch_end = on_test_end = _beat
    on_test_batch_start = on_test_batch_end = _beat
    on_predict_start = on_predict_epoch_end = on_predict_end = _beat
    on_predict_batch_start = on_predict_batch_end = _beat
    on_save_checkpoint = on_load_checkpoint = _beat

    def _stop(self) -> None:
        self._finished.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        while self._others:
            os.close(self._others.pop())

    def _watch(self, trainer: Trainer) -> None:
        """Count the time without progress; time while this process is suspended does not count."""
        assert self.timeout is not None
        interval = min(1.0, self.timeout / 10)
        seen, waited = self._beats, 0.0
        while not self._finished.wait(interval):
            waited = waited + interval if self._beats == seen else 0.0
            seen = self._beats
            if waited >= self.timeout:
                self._end(trainer)

    def _end(self, trainer: Trainer) -> None:
        """Write the report, and end the processes on this machine."""
        sentence = (
            f"pks4: error: rank {trainer.global_rank} of {trainer.world_size} has completed no "
            f"batch for {self.timeout:g} seconds (watchdog.timeout) and is stopped."
        )
        at_work = [f"A data worker is at '{path}'." for path in self.task.source.videos_at_work()]
        report = "\n".join([sentence, *at_work, ""])
        _write(report, 2)
        # The disk itself may be what blocks.
        path = Path(trainer.default_root_dir) / f"stalled_rank{trainer.global_rank}.txt"
        threading.Thread(target=_write_file, args=(report, path), daemon=True).start()
        grace = min(_MAX_GRACE, self.timeout or _MAX_GRACE)
        # only the first rank ends the others: if two end each other, their exit statuses are lost
        time.sleep(grace if self._is_first else 2 * grace)
        for other in self._others:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(other, signal.SIGKILL)
        for worker in multiprocessing.active_children():
            worker.kill()
        os._exit(EXIT_STATUS)


def _write(report: str, file: int) -> None:
    os.write(file, report.encode())
    faulthandler.dump_traceback(file, all_threads=True)


def _write_file(report: str, path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        _write(report, file.fileno())


def _process_namespace() -> str:
    """Return an identifier of the process namespace; different machines may share a host name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
