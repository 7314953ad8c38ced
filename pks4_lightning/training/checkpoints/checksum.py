"""The checksum that a checkpoint carries in itself: no second file can get out of step with it.

``torch.save`` writes a zip archive, and a zip archive may end in a comment. Ours is the SHA-256 of
everything in front of it. Readers that do not know of it skip it, ``torch.load`` among them.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["SealingFile", "check_seal"]

_LABEL = b"sha256 of the bytes before this comment: "
_NO_COMMENT = b"\0\0"  # the length of the comment, where torch ends a file
_END_RECORD = b"PK\x05\x06"  # the zip format's last record, 22 bytes long without a comment
_BLOCK = 1 << 20


class SealingFile:
    """Where ``torch.save`` writes to: passes every byte on and sums it up.

    The first error is kept, and what follows is only counted: torch would report an error raised
    in its middle as one of its own making.

    Args:
        file: An empty file, open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        """Bytes that were to be written, whether or not they were."""
        self._file = file
        self._sum = hashlib.sha256()
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write a block of bytes."""
        size = memoryview(data).nbytes
        self.size += size
        if self._error is None:
            self._sum.update(data)
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
        return size

    def flush(self) -> None:
        """Do nothing: :meth:`close` does it all."""

    def close(self) -> None:
        """Add the seal and bring the file to the disk.

        Raises:
            OSError: If any byte could not be written.
        """
        if self._error is not None:
            raise self._error
        self._file.seek(-len(_NO_COMMENT), os.SEEK_END)
        self._file.write(_seal(self._sum.hexdigest()))
        self._file.flush()
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):  # so that what is read next is the disk's copy
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check_seal(path: Path) -> bool:
    """Compare a checkpoint with the checksum in it.

    Args:
        path: The file.

    Returns:
        True if it is the file that was written, to the bit; False if it has no checksum, as files
        of plain ``torch.save`` have none.

    Raises:
        ValueError: If it is damaged or cut short.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 22))
        end = file.read()
        if end.startswith(_END_RECORD) and end.endswith(_NO_COMMENT):
            return False
        total = hashlib.sha256()
        left = size - len(_seal(total.hexdigest()))
        file.seek(max(0, left))
        seal = file.read()
        if _LABEL in seal:  # else there is nothing to compare with, however large the file
            file.seek(0)
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                total.update(block)
                left -= len(block)
            total.update(_NO_COMMENT)
        if seal != _seal(total.hexdigest()):
            raise ValueError(
                f"{path} cannot be read as a checkpoint: it is damaged or cut short (its checksum "
                "does not match)."
            )
    return True


def _seal(digest: str) -> bytes:
    """Return the end of a sealed file: the comment's length and the comment."""
    comment = _LABEL + digest.encode()
    return len(comment).to_bytes(2, "little") + comment
