"""Kill a command while it is working."""

import multiprocessing
import time
from pathlib import Path

from pks4_lightning.__main__ import main


def kill_within(arguments: list[str], file: Path, num_bytes: int, *, timeout: float = 120) -> None:
    """Run a ``pks4`` command until a file has ``num_bytes`` bytes, then kill it with SIGKILL.

    The command runs in a fork to save start-up time, which is safe because it has a single thread.
    """
    process = multiprocessing.get_context("fork").Process(target=main, args=(arguments,))
    process.start()
    end = time.monotonic() + timeout
    while not (file.exists() and file.stat().st_size >= num_bytes):
        assert process.is_alive(), "the command ended before it could be killed"
        assert time.monotonic() < end, f"{file} never had {num_bytes} bytes"
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9
