"""A folder of generated videos: made once, continued after an interruption, never mixed."""

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
    "refuse_negative",
    "write_whole",
]

_FINISHED = "dataset.json"
_UNFINISHED = "dataset.unfinished.json"

Entry = TypeVar("Entry")
Made = TypeVar("Made")


def begin_set(folder: Path, recipe: Mapping[str, Any]) -> bool:
    """Begin a set, or go on with it.

    Args:
        folder: Of the set; made if need be.
        recipe: All that the set's bytes depend on.

    Returns:
        False if the set is finished already.

    Raises:
        ValueError: If the folder holds another set or foreign files.
    """
    if _is_finished(folder, as_json(recipe)):
        return False
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    write_whole(folder / _UNFINISHED, as_json(recipe))
    return True


def finish_set(folder: Path) -> None:
    """Mark a set as finished.

    Args:
        folder: Of the set, which holds all of its files.
    """
    (folder / _UNFINISHED).replace(folder / _FINISHED)


def make_videos(
    work: Callable[[Entry], Made], entries: Sequence[Entry], num_workers: int
) -> Iterator[Made]:
    """Do the work of all entries here or in processes of their own, results in order.

    Args:
        work: Makes one video; picklable.
        entries: One for each video.
        num_workers: Processes. 0 works in the calling one.
    """
    if num_workers == 0:
        yield from map(work, entries)
        return
    # spawn: a forked child may inherit locks of a decoder's or torch's threads
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, entries, chunksize=8)


def refuse_negative(**numbers: int) -> None:
    """Refuse numbers below 0, by their names.

    Raises:
        ValueError: If there is one.
    """
    for name, value in numbers.items():
        if value < 0:
            raise ValueError(f"{name} ({value}) must be 0 or more.")


def as_json(content: object) -> bytes:
    """Return content as the set's files spell it."""
    return (json.dumps(content, indent=1) + "\n").encode()


def write_whole(path: Path, content: bytes) -> None:
    """Let a file appear whole or not at all."""
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def _is_finished(folder: Path, recipe: bytes) -> bool:
    """Tell a finished set from a missing or unfinished one; refuse any other folder."""
    if not folder.exists() or not any(folder.iterdir()):
        return False
    for name in (_FINISHED, _UNFINISHED):
        if (folder / name).is_file():
            if (folder / name).read_bytes() == recipe:
                return name == _FINISHED
            raise ValueError(
                f"{folder} holds a motion set with other settings (see {name}); "
                "delete the folder or choose another one."
            )
    raise ValueError(f"{folder} holds files that are no motion set; choose another folder.")
