"""Plain lists: ``path label`` per video, or ``folder num_frames label`` for folders of pictures."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from pks4_lightning.data.annotations.entry import Entry, listed_lines, unquoted
from pks4_lightning.data.annotations.locating import as_written
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.container import VIDEO_SUFFIXES

__all__ = ["FRAMES", "LIST"]

_COUNT = re.compile(r"0*[1-9]\d{0,8}")
# a path, which may contain spaces, and a label, which may if it is in quotation marks
_SPACED = re.compile(r"""(.+?)\s+("[^"]+"|'[^']+'|\S+)""")


def read_list(part: Part) -> list[Entry]:
    """Read lines of ``path label``, with a space, comma or tab between them.

    Args:
        part: The list. Paths may contain spaces; labels too, behind a comma or a tab or in
            quotation marks.

    Raises:
        ValueError: If a line has another form, or the first one may be a header.
    """
    entries = []
    for number, line in listed_lines(part.source):
        fields = _fields(line)
        if len(fields) != 2 or not all(fields):
            raise ValueError(
                f"'{part.source}' reads '{shortened(line)}' at line {number}; a line must be "
                "'path label', or 'path,label' if the label has spaces; a table needs a header "
                "with the columns path and label."
            )
        entries.append(Entry(fields[0], fields[1], f"line {number}"))
    if _begins_with_header(entries):
        first = entries[0]
        raise ValueError(
            f"'{part.source}' names the video '{shortened(first.video)}' with the label "
            f"'{shortened(str(first.label))}' at {first.place}, which may be a header: call its "
            f"columns path and label, or write './{shortened(first.video)}' if it is a video."
        )
    return entries


def _fields(line: str) -> list[str]:
    """Return the path and the label of a line; no two values if it has another form."""
    if "," in line:
        try:
            fields = [field.strip() for field in next(csv.reader([line]))]
        except csv.Error:  # a value of many thousand characters
            return []
        if not any("\t" in field for field in fields):
            return fields
    if "\t" in line:
        return [unquoted(field.strip()) for field in re.split(r"\t+", line)]
    match = _SPACED.fullmatch(line)
    if match is None or _goes_on(match[1]):
        return []
    return [unquoted(field) for field in match.groups()]


def _goes_on(path: str) -> bool:
    """Return whether the name of a video is followed by words, which belong to its label."""
    return not _is_video(path) and any(map(_is_video, path.split()[:-1]))


def _begins_with_header(entries: Sequence[Entry]) -> bool:
    """Return whether the first line names two columns, with words that no table is known by.

    It has a word in the place of the path, and a label that occurs nowhere else; in all other lines
    the path is no word, or the label a number.
    """
    if len(entries) < 2 or not _is_word(entries[0].video):
        return False
    paths, labels = zip(*(entry[:2] for entry in entries[1:]), strict=True)
    label = str(entries[0].label)
    if label in labels or _is_number(label):
        return False
    return not any(map(_is_word, paths)) or all(map(_is_number, labels))


def _is_video(path: str) -> bool:
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _is_word(path: str) -> bool:
    """Return whether a path may be the name of a column."""
    return not _is_video(path) and not re.search(r"[\d/\\]", path)


def _is_number(label: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?", label) is not None


def read_frame_list(part: Part) -> list[Entry]:
    """Read lines of ``folder num_frames label``, the usual form for videos unpacked to pictures.

    Args:
        part: The list.

    Raises:
        ValueError: If a line has another form, or gives no frames.
    """
    entries = []
    for number, line in listed_lines(part.source):
        fields = line.rsplit(maxsplit=2)
        if len(fields) != 3 or not _COUNT.fullmatch(fields[1]):
            raise ValueError(
                f"'{part.source}' reads '{shortened(line)}' at line {number}; a line must be "
                "'folder num_frames label'."
            )
        entries.append(Entry(unquoted(fields[0]), fields[2], f"line {number}", int(fields[1])))
    return entries


def is_frame_list(sniffed: Sniffed) -> bool:
    """Return whether a line has the form ``folder num_frames label``, with two integers."""
    fields = sniffed.first_line.rsplit(maxsplit=2)
    return (
        len(fields) == 3
        and all(field.isdecimal() for field in fields[1:])
        and "." not in fields[0].rsplit("/", 1)[-1]
    )


LIST = DataFormat(
    name="list",
    read=read_list,
    recognises=lambda sniffed: not sniffed.path.is_dir(),
    splits={
        "train": ("train.txt", "train.csv"),
        "val": ("val.txt", "val.csv", "validation.txt"),
        "test": ("test.txt", "test.csv"),
    },
    labels=("labels.txt", "classes.txt"),
    videos=("", "videos"),
    locate=as_written,
    is_anybodys=True,
)

FRAMES = DataFormat(
    name="frames",
    read=read_frame_list,
    recognises=is_frame_list,
    splits={
        "train": ("train.txt", "train_videofolder.txt"),
        "val": ("val.txt", "validation.txt", "val_videofolder.txt"),
        "test": ("test.txt", "test_videofolder.txt"),
    },
    labels=("labels.txt", "classes.txt", "category.txt"),
    videos=("", "frames", "rawframes", "20bn-something-something-v2-frames"),
    locate=as_written,
    is_anybodys=True,
)
