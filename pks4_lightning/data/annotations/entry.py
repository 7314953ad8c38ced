"""What every reader of annotations gives, and how it opens and checks what it reads."""

import json
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.paths import UnsafePathError, check_name
from pks4_lightning.data.video.span import Span

__all__ = [
    "Entry",
    "listed_lines",
    "read_json",
    "read_lines",
    "read_objects",
    "read_text",
    "relative_path",
    "shortened",
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

# there is nothing in such a path that could be harmful; lists hold hundreds of thousands
_PLAIN_PATH = re.compile(r"(?:[A-Za-z0-9_-][\w.-]*/)*[A-Za-z0-9_-][\w.-]*", re.ASCII)
_LONGEST_NAME = 255


class Entry(NamedTuple):
    """One line of an annotation file."""

    video: str
    """Path below the videos' folder, with or without the suffix of the file."""
    label: str | None
    place: str
    """Where it stands, for messages: a line or an id."""
    num_frames: int | None = None
    """Frames that the annotation promises, where the video is a folder of pictures."""
    split: Split | None = None
    """What it belongs to, where the annotations hold several splits."""
    span: Span | None = None
    """Which part of the video is meant; ``None``: all of it."""


def read_text(source: Path) -> str:
    """Read a text file, without the byte order mark that spreadsheets put in front.

    Args:
        source: The file.

    Raises:
        ValueError: If it is no text in UTF-8.
    """
    try:
        return source.read_text(encoding="utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(f"'{source}' is no text in UTF-8, so no annotations.") from None


def read_lines(source: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not blank, each with its number, counted from 1."""
    lines = enumerate(read_text(source).splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def listed_lines(source: Path) -> list[tuple[int, str]]:
    """Read the lines of a list that people write by hand, without its comments.

    Args:
        source: The list. A line that begins with ``#`` is a comment; a file of such a name is
            listed as ``./#1.mp4``.
    """
    lines = read_lines(source)
    kept = [(number, line) for number, line in lines if not line.startswith("#")]
    if len(kept) < len(lines):
        comments = len(lines) - len(kept)
        logger.info("'%s': %d lines begin with # and are left out.", source, comments)
    return kept


def unquoted(text: str) -> str:
    """Return a value without the quotation marks around it, if there are any."""
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text


def read_json(source: Path) -> Any:
    """Read a JSON file.

    Args:
        source: The file.

    Raises:
        ValueError: If it is no JSON; the line is named. Or if no annotations are nested so deeply.
    """
    text = read_text(source)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"'{source}' is no valid JSON: {error.msg} in line {error.lineno}."
        ) from None
    except (RecursionError, ValueError):
        raise ValueError(
            f"'{source}' is nested too deeply, or has a number of too many digits, to be read."
        ) from None


def read_objects(source: Path) -> list[Any]:
    """Read a JSON file that lists videos.

    Args:
        source: The file.

    Raises:
        ValueError: If it is no list.
    """
    content = read_json(source)
    if not isinstance(content, list):
        raise ValueError(f"'{source}' must be a JSON list of videos, one object with an id each.")
    return content


def text_of(video: Any, key: str, source: Path, number: int) -> str:
    """Return what an object of such a list says under a key.

    Args:
        video: The object.
        key: What must be there.
        source: The file, for the message.
        number: Of the object, counted from 1.

    Raises:
        ValueError: If it says nothing.
    """
    if not isinstance(video, dict) or not str(video.get(key, "")).strip():
        raise ValueError(f"'{source}' has no '{key}' in its entry number {number}.")
    return str(video[key])


def relative_path(path: str, source: Path, place: str) -> str:
    """Return a path that an annotation gives, or refuse it if it leaves the videos' folder.

    Args:
        path: As it is written, with forward slashes.
        source: The annotations, for the message.
        place: Where it stands in them.

    Raises:
        ValueError: If it is absolute, climbs up, is an address, or holds control characters.
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


def shortened(text: str) -> str:
    """Return a piece of a file as a message shows it, on one line and not too long."""
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return shown if shown.isprintable() else repr(shown)[1:-1]


def split_of(word: str | None) -> Split | None:
    """Return the split that a column's value names, such as `validate` or `testing`."""
    return _SPLIT_WORDS.get((word or "").strip().casefold())
