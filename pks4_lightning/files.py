"""Atomic writes, the checksum of a file, and files that come with the package."""

import csv
import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "atomic_write",
    "check_writable",
    "find_packaged",
    "remove_leftovers",
    "replaced_folder",
    "sha256_of",
    "write_csv",
]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends well.

    The folder is made if need be. If the block raises, ``path`` stays as it was and the temporary
    file is removed.

    Args:
        path: The file to write.

    Yields:
        Where to write instead; it keeps the ending of ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.tmp-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path, *, what: str, option: str) -> None:
    """Refuse a folder that takes no files, before the work whose results are to go there.

    Args:
        folder: Made if need be.
        what: What is to be written, for the message.
        option: Which option chooses another folder.

    Raises:
        OSError: If nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"a test")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"No {what} can be written to {folder}: {error.strerror}. Choose another folder with "
            f"{option}."
        ) from error


def find_packaged(path: str) -> str:
    """Find a file or folder that comes with the package, wherever the package is installed.

    Args:
        path: Any path; one like ``pks4_lightning/demo/tiny_clip/weights`` is the package's, unless
            it is there below the current folder.

    Returns:
        Where it is; any other path as it was given.
    """
    home = Path(__file__).parent
    if path.startswith(f"{home.name}/") and not Path(path).exists():
        return str(home.parent / path)
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote.

    Args:
        folder: Where nobody writes at the moment.
    """
    for path in folder.glob(".*.tmp-*"):
        path.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Yield a folder whose files take the place of earlier ones when the block ends well.

    Args:
        folder: New, empty, or with files of these names only, which stay if the block raises.
        names: Of all files that may come to lie in it.

    Raises:
        FileExistsError: If it holds anything else.
    """
    if folder.exists():
        others = {path.name for path in folder.iterdir()} - set(names)
        if others:
            raise FileExistsError(
                f"{folder} holds other files, such as {min(others)}: choose an empty folder."
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
    try:
        yield unfinished
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).unlink(missing_ok=True)
        for path in unfinished.iterdir():
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(unfinished)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_csv(path: str | Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a table, whole or not at all.

    Args:
        path: The file.
        header: Names of the columns.
        lines: Values of each line.
    """
    with (
        atomic_write(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([header, *lines])


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
