"""A folder of generated videos: created once, continued after an interruption, never mixed."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from pks4_lightning.files import atomic_write

__all__ = [
    "as_json",
    "begin_set",
    "finish_set",
    "make_videos",
    "write_whole",
]

_FINISHED = "dataset.json"
_UNFINISHED = "dataset.unfinished.json"

Entry = TypeVar("Entry")
Made = TypeVar("Made")


def begin_set(folder: Path, recipe: Mapping[str, Any]) -> bool:
    """Begin a data set, or continue an unfinished one.

    Args:
        folder: Folder of the data set; created if missing.
        recipe: Everything that determines the data set's bytes.

    Returns:
        False if the data set is already finished.

    Raises:
        ValueError: If the folder holds another data set or other files.
    """
    if _is_finished(folder, as_json(recipe)):
        return False
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    write_whole(folder / _UNFINISHED, as_json(recipe))
    return True


def finish_set(folder: Path) -> None:
    """Mark a data set as finished.

    Args:
        folder: Folder of the data set, with all of its files.
    """
    (folder / _UNFINISHED).replace(folder / _FINISHED)


def make_videos(
    work: Callable[[Entry], Made], entries: Sequence[Entry], num_workers: int
) -> Iterator[Made]:
    """Process all entries, here or in worker processes, and return the results in order.

    Args:
        work: Makes one video; it must be picklable.
        entries: One for each video.
        num_workers: Number of processes; 0 uses the calling process.
    """
    if num_workers == 0:
        yield from map(work, entries)
        return
    # spawn, because a forked child may inherit locks held by a decoder or by torch's threads
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, entries, chunksize=8)


def as_json(content: object) -> bytes:
    """Return the JSON of a data set's file as bytes."""
    return (json.dumps(content, indent=1) + "\n").encode()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def _is_finished(folder: Path, recipe: bytes) -> bool:
    """Tell a finished data set from a new or unfinished one; refuse any other folder."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    for name in (_FINISHED, _UNFINISHED):
        if (folder / name).is_file():
            if (folder / name).read_bytes() == recipe:
                return name == _FINISHED
            raise ValueError(
                f"{folder} holds another generated data set (see {name}); "
                "delete the folder or choose another one."
            )
    raise ValueError(f"{folder} holds other files; choose another folder.")
