"""What the loader's processes do first: outlive signals meant for the trainer, but not the trainer.

A cluster's scheduler may signal every process of a job. The trainer then saves and ends its
workers itself; it could not save if they were gone. A trainer that is killed ends nothing, and the
fork server, the workers' parent, lives on while a worker does: so each worker watches the trainer.
"""

import multiprocessing
import os
import signal
import threading

__all__ = ["ignore_signals", "start_worker"]

_FOR_THE_TRAINER = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def ignore_signals() -> None:
    """Leave SIGTERM, SIGUSR1 and Ctrl-C to the trainer."""
    for number in _FOR_THE_TRAINER:
        signal.signal(number, signal.SIG_IGN)


def start_worker(worker: int) -> None:  # noqa: ARG001 - PyTorch's
    """Prepare a worker process; PyTorch's ``worker_init_fn``.

    Args:
        worker: Its number.
    """
    ignore_signals()  # also what PyTorch has set just before
    threading.Thread(target=_end_with_the_trainer, daemon=True).start()


def _end_with_the_trainer() -> None:
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        os._exit(1)
