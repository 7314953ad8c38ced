"""Keep two processes from writing to one file or folder; a lock ends with its process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pks4_lightning.files import check_writable

__all__ = ["hold_folder", "hold_lock"]


@contextmanager
def hold_lock(path: Path, refusal: Exception | None) -> Iterator[int]:
    """Lock a file; the lock ends with the block, and with the processes that inherit it.

    On a file system without locks (Lustre may be mounted so), nothing is locked.

    Args:
        path: The lock file, created with its folder if necessary. It is never removed: a waiting
            process would then hold a lock on a deleted file.
        refusal: Raised if another process holds the lock. ``None`` waits for that process.

    Yields:
        The descriptor that holds the lock.

    Raises:
        OSError: If it is to wait, on a file system without locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except OSError as error:
            if refusal is None:
                raise
            if isinstance(error, BlockingIOError):
                raise refusal from None
        yield file.fileno()


@contextmanager
def hold_folder(folder: Path, *, what: str) -> Iterator[None]:
    """Keep other processes from writing results to a folder.

    Args:
        folder: Created if necessary; the lock is its file ``.lock``.
        what: Name of the results, in the plural.

    Raises:
        BlockingIOError: If another process is writing there.
        OSError: If nothing can be written there.
    """
    check_writable(folder, what=what, option="--out")
    refusal = BlockingIOError(
        f"Another command is writing {what} to {folder}: wait for it, or choose another folder "
        "with --out."
    )
    with hold_lock(folder / ".lock", refusal):
        yield
