"""Keep two processes from writing into one folder; the lock ends with the process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held"]


@contextmanager
def held(path: Path, *, busy: Exception) -> Iterator[int]:
    """Lock a file; processes that inherit the descriptor keep the lock.

    On a file system without locks (Lustre may be mounted so), nothing is locked.

    Args:
        path: Created if necessary; it stays, because to remove it would part those who wait.
        busy: The error to raise if another process holds it.

    Yields:
        The file descriptor.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        except OSError:
            pass
        yield file.fileno()
