"""Show progress as a bar on a terminal, or as one log line per tenth elsewhere.

A small file beside each run reports its progress to other programs.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pks4_lightning.files import write_json

__all__ = ["read_progress", "time_left", "track", "write_progress"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


def track(items: Iterable[Item], *, total: int, doing: str) -> Iterator[Item]:
    """Pass items through and show progress.

    Args:
        items: The items to pass through.
        total: How many there will be.
        doing: What is being done, as the beginning of a line.

    Yields:
        The items, unchanged.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        for done, item in enumerate(items, start=1):
            yield item
            if done == total or done * 10 // total > (done - 1) * 10 // total:
                logger.info("%s: %d of %d.", doing, done, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        yield from progress.track(items, total=total, description=doing)


def time_left(seconds: float, *, done: float, total: float) -> str:
    """Return the end of a line about progress, ``"; about 3 min left"``; empty if all is done.

    Args:
        seconds: Time that it took so far.
        done: How much has been done, above 0.
        total: How much there is.
    """
    left = seconds / done * (total - done)
    if not left:
        return ""
    return f"; about {left:.0f} s left" if left < 90.0 else f"; about {left / 60.0:.0f} min left"


def write_progress(path: Path, share: float, note: str) -> None:
    """Write the progress of a run. A full disk is ignored: it must not end the run.

    Args:
        path: The file.
        share: Completed share of the run, 0 to 1.
        note: Current position, in a few words.
    """
    with suppress(OSError):
        write_json(path, {"share": round(share, 4), "note": note})


def read_progress(path: Path) -> tuple[float, str]:
    """Read the progress of a run.

    Args:
        path: A file written by :func:`write_progress`.

    Returns:
        The share and the note; 0 and an empty note if nothing has been written yet.
    """
    if not path.is_file():
        return 0.0, ""
    content = json.loads(path.read_text(encoding="utf-8"))
    return float(content["share"]), str(content["note"])
