"""Progress for people: a bar on a terminal, a line per tenth in the log elsewhere."""

import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["track"]

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
