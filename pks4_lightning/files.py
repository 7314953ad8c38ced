"""Atomic writes, file names of any bytes, checksums, and files that ship with the package."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "ANY_NAME",
    "RECORD",
    "atomic_write",
    "check_writable",
    "cut_name",
    "escaped",
    "find_packaged",
    "json_line",
    "remove_leftovers",
    "replaced_folder",
    "sha256_of",
    "shown_name",
    "write_csv",
    "write_json",
]

ANY_NAME = "surrogateescape"
"""How tables and lists encode the names of files: those that are not UTF-8 keep their bytes."""
RECORD = ".written_by_pks4.json"
"""In a folder of :func:`replaced_folder`: the SHA-256 of every other file, by its name."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it replaces ``path`` if the block succeeds.

    The folder is created if necessary. If the block raises, ``path`` is left unchanged and the
    temporary file is removed.

    Args:
        path: The file to write.

    Yields:
        The path to write to; it has the suffix of ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name may be as long as the file system allows, and this one is longer
    handle, name = tempfile.mkstemp(
        prefix=f".{cut_name(path.name, 60)}.tmp-", suffix=cut_name(path.suffix, 30), dir=path.parent
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
    """Check that a folder can be written to, before the work whose results are to go there.

    Args:
        folder: Created if necessary.
        what: What is to be written, for the message.
        option: The option that chooses another folder, for the message.

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


def cut_name(name: str, num_bytes: int) -> str:
    """Cut the end of a file's name off if it is too long, without splitting a character.

    Args:
        name: The name, or a part of it.
        num_bytes: How many bytes it may have; file systems allow 255 for a whole name.
    """
    while len(os.fsencode(name)) > num_bytes:
        name = name[:-1]
    return name


def find_packaged(path: str) -> str:
    """Find a file or folder that ships with the package, wherever the package is installed.

    Args:
        path: Any path; one like ``pks4_lightning/demo/tiny_clip/weights`` refers to the package,
            unless it exists below the current folder.

    Returns:
        Where it is; any other path is returned unchanged.
    """
    home = Path(__file__).parent
    if path.startswith(f"{home.name}/") and not Path(path).exists():
        return str(home.parent / path)
    return path


def escaped(text: str) -> str:
    """Escape the bytes of file names that are not UTF-8, so that a text can be encoded.

    Args:
        text: Any text.
    """
    return text.encode(errors="backslashreplace").decode()


def json_line(value: Any) -> str:
    """Return a value as one line of JSON, without the newline.

    Args:
        value: The value; file names may have any bytes.
    """
    return escaped(json.dumps(value, ensure_ascii=False))


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed while writing.

    Args:
        folder: A folder to which no process is writing.
    """
    for path in folder.glob(".*.tmp-*"):
        path.unlink(missing_ok=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder whose files replace earlier ones if the block succeeds.

    Args:
        folder: New, empty, or with only files that an earlier call wrote and nobody has changed,
            which :data:`RECORD` proves; they remain if the block raises.

    Raises:
        FileExistsError: If the folder contains anything else.
        NotADirectoryError: If it, or a folder that it lies in, is a file.
    """
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(
            f"{nearest} is a file, not a folder: choose a new or empty folder."
        )
    earlier = sorted(folder.iterdir()) if folder.exists() else []
    written = _written(folder)
    for path in earlier:
        if not path.is_file() or written.get(path.name) != sha256_of(path):
            raise FileExistsError(
                f"{path} would be lost, and is not known to be as pks4 wrote it: choose a new or "
                "empty folder."
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
    try:
        yield unfinished
        others = (path for path in unfinished.iterdir() if path.name != RECORD)
        write_json(unfinished / RECORD, {path.name: sha256_of(path) for path in others})
        folder.mkdir(exist_ok=True)
        for path in earlier:
            path.unlink(missing_ok=True)
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


def shown_name(path: str | Path) -> str:
    """Return the name of a file for display; what is not printable is a question mark.

    Args:
        path: The file.
    """
    return "".join(sign if sign.isprintable() else "?" for sign in Path(path).name)


def write_csv(path: str | Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Write a table atomically.

    Args:
        path: The file.
        header: Names of the columns.
        lines: The values of each line.
    """
    with (
        atomic_write(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8", errors=ANY_NAME) as file,
    ):
        csv.writer(file).writerows([header, *lines])


def write_json(path: str | Path, value: object) -> None:
    """Write a value atomically as indented JSON, which is ASCII.

    Args:
        path: The file.
        value: The value, representable in JSON.
    """
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _written(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files that were written to a folder, as far as it is known."""
    record = folder / RECORD
    try:
        return {**json.loads(record.read_text(encoding="utf-8")), RECORD: sha256_of(record)}
    except (OSError, TypeError, ValueError):
        return {}


def _umask() -> int:
    """Return the umask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
