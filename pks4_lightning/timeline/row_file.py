"""An array on disk that grows by rows, and survives a kill at any moment."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

__all__ = ["RowFile"]


class RowFile:
    """A ``.npy`` file that gets its name when it is complete; until then it ends in ``.part``.

    A kill damages at most the block that was being written. The file is cut back to whole blocks
    when it is reopened: the rest is then computed in the same batches as without the kill, and is
    identical, bit for bit.

    Args:
        path: The finished file.
        block: Number of rows appended at a time; the last block may have fewer.
    """

    num_rows: int
    """Number of rows."""

    def __init__(self, path: Path, *, block: int) -> None:
        self.path = path
        self._part = path.with_name(f"{path.name}.part")
        self._block = block
        self.num_rows = 0
        self.keep(self._rows_on_disk())

    def append(self, rows: Shaped[np.ndarray, "rows ..."]) -> None:
        """Append rows.

        Args:
            rows: Rows of the same dtype and shape each time.
        """
        self._part.parent.mkdir(parents=True, exist_ok=True)
        with self._part.open("ab") as file:
            if not file.tell():
                _write_header(file, rows.dtype, (0, *rows.shape[1:]))
            file.write(np.ascontiguousarray(rows).tobytes())
        self.num_rows += len(rows)

    def keep(self, num_rows: int) -> None:
        """Drop the rows from here on, and preceding ones in the same block.

        Args:
            num_rows: Maximum number of rows to keep.
        """
        self.num_rows = num_rows // self._block * self._block
        if self._part.exists():
            if not self.num_rows:
                self.discard()
                return
            with self._part.open("r+b") as file:
                dtype, shape = _read_header(file)
                file.truncate(file.tell() + self.num_rows * _row_bytes(dtype, shape))

    def discard(self) -> None:
        """Drop all rows."""
        self._part.unlink(missing_ok=True)
        self.num_rows = 0

    def finish(self, num_rows: int | None = None) -> Shaped[np.ndarray, "rows ..."]:
        """Give the file its final name; it must have at least one row.

        Args:
            num_rows: Number of valid rows; later ones are dropped. ``None``: all.

        Returns:
            The array, memory-mapped.
        """
        self.num_rows = self.num_rows if num_rows is None else num_rows
        with self._part.open("r+b") as file:
            dtype, shape = _read_header(file)
            file.truncate(file.tell() + self.num_rows * _row_bytes(dtype, shape))
            file.seek(0)
            # numpy reserves space in a header for any number of rows
            _write_header(file, dtype, (self.num_rows, *shape[1:]))
            file.flush()
            os.fsync(file.fileno())
        self._part.replace(self.path)
        array: np.ndarray = np.load(self.path, mmap_mode="r")
        return array

    def _rows_on_disk(self) -> int:
        if not self._part.exists():
            return 0
        with self._part.open("rb") as file:
            try:
                dtype, shape = _read_header(file)
            except ValueError:  # the header itself is incomplete
                return 0
            return (self._part.stat().st_size - file.tell()) // _row_bytes(dtype, shape)


def _write_header(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, header)


def _read_header(file: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    return dtype, shape


def _row_bytes(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    return dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
