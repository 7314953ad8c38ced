"""Suggest what an unknown name or path probably meant, as the end of an error message."""

import difflib
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

__all__ = ["did_you_mean", "did_you_mean_path"]

# Enough for any folder that people name files in by hand, and compared in a fraction of a second.
_MOST_ENTRIES = 10_000
_LEAST_STEMS = 0.5  # likeness of best and last


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str = "", *, num: int = 1, cutoff: float = 0.6
) -> str:
    """Return the end of the sentence, beginning with its punctuation.

    Args:
        name: An unknown name.
        known: The names that exist.
        otherwise: What to say if none is close; no full stop.
        num: Suggest at most so many.
        cutoff: Least likeness of a suggestion, from 0 to 1.

    Example:
        >>> did_you_mean("ssv22", ["k400", "ssv2"])
        '; did you mean ssv2?'
        >>> did_you_mean("mine", ["k400", "ssv2"], "`pks4 configs` lists them")
        '; `pks4 configs` lists them.'
    """
    return _end(_closest(name, known, num, cutoff), otherwise)


def did_you_mean_path(path: str | os.PathLike[str], otherwise: str = "") -> str:
    """Return the end of a sentence about a path, part by part the closest one that exists.

    Args:
        path: A path that does not exist.
        otherwise: What to say if nothing is close; no full stop.
    """
    found = _closest_path(Path(path))
    return _end([] if found is None else [str(found)], otherwise)


def _end(close: list[str], otherwise: str) -> str:
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; {otherwise}." if otherwise else "."


def _closest(name: str, known: Iterable[str], num: int, cutoff: float) -> list[str]:
    plain = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), plain, n=num, cutoff=cutoff)
    return [plain[each] for each in close]


def _closest_path(path: Path) -> Path | None:
    """Follow a path, and replace each part that does not exist by the closest one that does.

    A file that lies one folder further down, such as ``best.ckpt`` in ``checkpoints``, is found.
    """
    path = path.expanduser()
    found, is_near = Path(path.anchor), False
    for part in path.parts[len(found.parts) :]:
        try:
            step = found / part
            if not step.exists():
                with os.scandir(found) as entries:
                    names = sorted(entry.name for entry in islice(entries, _MOST_ENTRIES))
                below = [found / name / part for name in names if not name.startswith(".")]
                close = [each for each in below if each.exists()] or [
                    found / name
                    for name in _closest(part, names, 3, 0.6)
                    if _stems_are_close(part, name) and (found / name).exists()
                ]
                if not close:
                    break
                step, is_near = close[0], True
        except OSError:  # a file in place of a folder, or a folder that cannot be read
            break
        found = step
    return found if is_near else None


def _stems_are_close(one: str, other: str) -> bool:
    """Compare names without suffix: an equal suffix makes any short names look alike."""
    first, second = (Path(name).stem.casefold() for name in (one, other))
    return difflib.SequenceMatcher(None, first, second).ratio() >= _LEAST_STEMS
