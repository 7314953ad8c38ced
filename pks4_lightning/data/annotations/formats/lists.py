"""Plain lists: ``path label`` per video, or ``folder num_frames label`` for folders of pictures."""

import csv

from pks4_lightning.data.annotations.entry import Entry, listed_lines, unquoted
from pks4_lightning.data.annotations.locating import as_written
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed

__all__ = ["FRAMES", "LIST"]


def read_list(part: Part) -> list[Entry]:
    """Read lines of ``path label`` or ``path,label``.

    Args:
        part: The list. Paths may contain spaces.

    Raises:
        ValueError: If a line has another form.
    """
    entries = []
    for number, line in listed_lines(part.source):
        if "," in line:
            fields = [field.strip() for field in next(csv.reader([line]))]
        else:
            fields = [unquoted(field) for field in line.rsplit(maxsplit=1)]
        if len(fields) != 2 or not all(fields):
            raise ValueError(f"'{part.source}' reads '{line[:80]}' at line {number}; a line must "
                             "be 'path label' or 'path,label'.")  # fmt: skip
        entries.append(Entry(fields[0], fields[1], f"line {number}"))
    return entries


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
        if len(fields) != 3 or not fields[1].isdecimal() or int(fields[1]) < 1:
            raise ValueError(f"'{part.source}' reads '{line[:80]}' at line {number}; a line must "
                             "be 'folder num_frames label'.")  # fmt: skip
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
