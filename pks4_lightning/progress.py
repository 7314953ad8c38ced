"""Progress for people: a bar on a terminal, a line per tenth in the log elsewhere.

And for programs: a small file beside a run that says how far it is.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pks4_lightning.files import atomic_write

__all__ = ["read_progress", "track", "write_progress"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


def track(items: Iterable[Item], *, total: int, doing: str) -> Iterator[Item]:
    """Pass items on and show how many have come.

    Args:
        items: What to pass on.
        total: How many there will be.
        doing: What happens to them, as the beginning of a line.

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


def write_progress(path: Path, share: float, note: str) -> None:
    """Write how far a run is. A disk that takes no more is no reason to end the run.

    Args:
        path: The file.
        share: Of the run's work, 0 to 1.
        note: Where it is, in a few words.
    """
    with suppress(OSError), atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps({"share": round(share, 4), "note": note}) + "\n")


def read_progress(path: Path) -> tuple[float, str]:
    """Read how far a run is.

    Args:
        path: From :func:`write_progress`.

    Returns:
        The share and the note; 0 and none if the run has not said anything yet.
    """
    if not path.is_file():
        return 0.0, ""
    content = json.loads(path.read_text())
    return float(content["share"]), str(content["note"])
