"""One entry of an annotation file, and helpers for reading and checking such files."""

import json
import logging
import re
import stat
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.paths import UnsafePathError, check_name, kind_of, shortened
from pks4_lightning.data.video.span import Span

__all__ = [
    "Entry",
    "listed_lines",
    "log_comments",
    "read_json",
    "read_lines",
    "read_objects",
    "read_text",
    "relative_path",
    "split_of",
    "text_of",
    "unquoted",
]

_SPLIT_WORDS: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

logger = logging.getLogger(__name__)

# Paths matching this are harmless and skip the full check; lists have hundreds of thousands.
_PLAIN_PATH = re.compile(r"(?:[A-Za-z0-9_-][\w.-]*/)*[A-Za-z0-9_-][\w.-]*", re.ASCII)
_LONGEST_NAME = 255


class Entry(NamedTuple):
    """One line of an annotation file."""

    video: str
    """Path below the video folder, with or without the suffix of the file."""
    label: str | None
    place: str
    """Position in the annotations, for messages: a line or an id."""
    num_frames: int | None = None
    """Number of frames according to the annotation, if the video is a folder of pictures."""
    split: Split | None = None
    """Split of the video, if the annotations name it."""
    span: Span | None = None
    """The annotated part of the video; ``None``: all of it."""


def read_text(source: Path) -> str:
    """Read a text file, without the byte order mark that spreadsheets prepend.

    Args:
        source: The file.

    Raises:
        OSError: If it does not exist or may not be read.
        ValueError: If it is a folder or a pipe, or not UTF-8 text.
    """
    try:
        # a pipe would be waited for
        if not stat.S_ISREG(mode := source.stat().st_mode):
            raise ValueError(f"'{source}' is {kind_of(mode)}; name a file that can be read.")
        return source.read_text(encoding="utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(
            f"'{source}' is not UTF-8 text, so it cannot be read as annotations."
        ) from None
    except OSError as error:
        raise type(error)(f"'{source}' cannot be read: {error.strerror}.") from None


def read_lines(source: Path) -> list[tuple[int, str]]:
    """Read the non-blank lines of a text file, each with its number, counted from 1."""
    lines = enumerate(read_text(source).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def listed_lines(source: Path) -> list[tuple[int, str]]:
    """Read the lines of a hand-written list, without its comments.

    Args:
        source: The list. A line that begins with ``#`` is a comment; a file with such a name must
            be listed as ``./#1.mp4``.
    """
    lines = read_lines(source)
    kept = [(number, line) for number, line in lines if not line.startswith("#")]
    log_comments(source, len(lines) - len(kept))
    return kept


@cache  # a table of several splits is read more than once
def log_comments(source: str | Path, count: int) -> None:
    """Log how many lines are ignored, if any, because one of them may have been meant as a video.

    Args:
        source: The file.
        count: Number of its lines that begin with ``#``.
    """
    if count:
        logger.info("'%s': %d lines begin with # and are ignored.", source, count)


def unquoted(text: str) -> str:
    """Return a value without the quotation marks around it, if any."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def read_json(source: Path) -> Any:
    """Read a JSON file.

    Args:
        source: The file.

    Raises:
        ValueError: If it is not valid JSON (the line is given), or is nested too deeply.
    """
    text = read_text(source)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"'{source}' is not valid JSON: {error.msg} in line {error.lineno}."
        ) from None
    except (RecursionError, ValueError):
        raise ValueError(
            f"'{source}' cannot be read: it is nested too deeply, or holds a number with too many "
            "digits."
        ) from None


def read_objects(source: Path) -> list[Any]:
    """Read a JSON list of videos.

    Args:
        source: The file.

    Raises:
        ValueError: If it is not a list.
    """
    content = read_json(source)
    if not isinstance(content, list):
        raise ValueError(
            f"'{source}' must be a JSON list with one object per video, each with an id."
        )
    return content


def text_of(video: Any, key: str, source: Path, number: int) -> str:
    """Return the text or the integer that an object of such a list has under a key, as text.

    Args:
        video: The object.
        key: The key, which must be present.
        source: The file, for the message.
        number: Number of the object, counted from 1.

    Raises:
        ValueError: If there is none, or another value.
    """
    value = video.get(key, "") if isinstance(video, dict) else ""
    if not str(value).strip():
        raise ValueError(f"'{source}' has no '{key}' in entry {number}.")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(
            f"'{source}' gives the {key} {shortened(repr(value))} in entry {number}; it must be "
            "text or an integer."
        )
    return str(value)


def relative_path(path: str, source: Path, place: str) -> str:
    """Return a path given by an annotation, after checking that it stays in the video folder.

    Args:
        path: The path as written, with forward slashes.
        source: The annotations, for the message.
        place: Position in the annotations.

    Raises:
        ValueError: If it is absolute, climbs up, is a URL, or contains control characters.
    """
    if len(path) < _LONGEST_NAME and _PLAIN_PATH.fullmatch(path):
        return path
    try:
        return check_name(path)
    except UnsafePathError as error:
        raise ValueError(
            f"'{source}' names '{shortened(path)}' at {shortened(place)}, a path that "
            f"{error.reason}."
        ) from None


def split_of(word: object) -> Split | None:
    """Return the split named by a value, such as `validate` or `testing`, if it names one."""
    return _SPLIT_WORDS.get(word.strip().casefold()) if isinstance(word, str) else None
