"""Set up worker processes: they survive signals meant for the trainer, but end with it.

A cluster's scheduler may signal every process of a job. The trainer then saves and stops its
workers itself; it could not save without them. A trainer that is killed stops nothing, and the fork
server, the parent of the workers, lives as long as a worker does; so each worker watches the
trainer.
"""

import multiprocessing
import os
import signal
import threading

__all__ = ["ignore_signals", "start_worker"]

_FOR_THE_TRAINER = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def ignore_signals() -> None:
    """Ignore SIGTERM, SIGUSR1 and Ctrl-C, which the trainer handles."""
    for number in _FOR_THE_TRAINER:
        signal.signal(number, signal.SIG_IGN)


def start_worker(worker: int) -> None:  # noqa: ARG001 - PyTorch's
    """Prepare a worker process; PyTorch's ``worker_init_fn``.

    Args:
        worker: Index of the worker.
    """
    ignore_signals()  # overrides the handlers that PyTorch has just set
    threading.Thread(target=_end_with_the_trainer, daemon=True).start()


def _end_with_the_trainer() -> None:
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        os._exit(1)
