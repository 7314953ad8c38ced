"""A checksum inside the checkpoint file, which therefore cannot be separated from it.

``torch.save`` writes a zip archive, and a zip archive may end with a comment. Ours is the SHA-256
of everything before it. Readers that do not know about it, such as ``torch.load``, ignore it.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["SealingFile", "check_seal"]

_LABEL = b"sha256 of the bytes before this comment: "
_NO_COMMENT = b"\0\0"  # length of an empty comment, with which torch ends a file
_END_RECORD = b"PK\x05\x06"  # the zip format's last record, 22 bytes long without a comment
_BLOCK = 1 << 20


class SealingFile:
    """A file for ``torch.save`` that forwards all bytes and hashes them.

    The first error is kept, and later bytes are only counted, because torch would replace an error
    raised during writing by one of its own.

    Args:
        file: An empty file, open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size = 0
        """Number of bytes passed to ``write``, whether or not they were written."""
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
        """Do nothing: :meth:`close` flushes."""

    def close(self) -> None:
        """Append the checksum and sync the file to disk.

        Raises:
            OSError: If any byte could not be written.
        """
        if self._error is not None:
            raise self._error
        self._file.seek(-len(_NO_COMMENT), os.SEEK_END)
        self._file.write(_seal(self._sum.hexdigest()))
        self._file.flush()
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):  # so that reading back uses the disk, not the page cache
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def check_seal(path: Path) -> bool:
    """Compare a checkpoint with the checksum it contains.

    Args:
        path: The file.

    Returns:
        True if the file is exactly what was written; False if it has no checksum, like files of
        plain ``torch.save``.

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
        if _LABEL in seal:  # otherwise there is nothing to compare; large files are not hashed
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
    """Return the end of a checksummed file: the length of the comment and the comment."""
    comment = _LABEL + digest.encode()
    return len(comment).to_bytes(2, "little") + comment
