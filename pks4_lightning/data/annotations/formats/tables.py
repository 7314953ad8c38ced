"""Annotations with a line per video: Kinetics, UCF-101, CSV files with a header, plain lists."""

import csv
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from pks4_lightning.data.annotations.formats.entry import (
    Entry,
    Split,
    read_lines,
    read_text,
    relative_path,
    split_of,
)

__all__ = [
    "KINETICS_COLUMNS",
    "UCF101_LINE",
    "csv_columns",
    "has_split_column",
    "is_frame_line",
    "read_csv",
    "read_frame_list",
    "read_kinetics",
    "read_list",
    "read_ucf101",
]

logger = logging.getLogger(__name__)

KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")

UCF101_LINE = re.compile(r"(\w+)/(v_\w+_g\d+_c\d+\.\w+)(?:\s+(\d+))?")
"""A line of ``trainlist01.txt``, or of ``testlist01.txt``, which gives no number."""

# in order of preference
_PATH_COLUMNS = (
    "path", "video_path", "file_path", "filepath", "file", "file_name", "filename", "video",
    "video_name", "vid_name", "clip", "clip_name", "clip_path", "video_id", "id",
)  # fmt: skip
_LABEL_COLUMNS = (
    "label", "label_name", "class", "class_name", "category", "action", "activity", "target",
    "label_id", "class_id",
)  # fmt: skip
_SPLIT_COLUMNS = ("split", "subset", "partition", "set")

_Row: TypeAlias = tuple[int, dict[str, str]]
"""Number of the line, and values by lower-case column."""


def read_kinetics(source: Path, split: Split) -> list[Entry]:
    """Read Kinetics-400's, 600's and 700's ``label,youtube_id,time_start,time_end,split``.

    Args:
        source: The CSV file; test splits may come without the labels.
        split: Taken from the column of that name if the file holds several.

    Returns:
        An entry per clip and label. Rows that are repeated count once; a clip under two labels is
        two entries, as whoever scores by that list counts it.

    Raises:
        ValueError: If a column is absent or a time is no number.
    """
    columns, rows = _table(source)
    absent = [name for name in KINETICS_COLUMNS[1:] if name not in columns]
    if absent:
        raise ValueError(f"'{source}' has no column '{absent[0]}'; Kinetics' CSV files have the "
                         "columns label,youtube_id,time_start,time_end,split.")  # fmt: skip
    entries: dict[tuple[str, str | None], Entry] = {}
    for number, row in _rows_of_split(rows, "split", split):
        place = f"line {number}"
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
        except ValueError:
            raise ValueError(
                f"'{source}' has the times '{row['time_start']}' and '{row['time_end']}' at "
                f"{place}; they must be seconds."
            ) from None
        video = relative_path(f"{row['youtube_id']}_{start:06d}_{end:06d}", source, place)
        label = row.get("label") or None
        entries.setdefault((video, label), Entry(video, label, place))
    twice = Counter(video for video, _ in entries) - Counter({video for video, _ in entries})
    if twice:
        logger.warning(
            "'%s' gives %d clips more than one label, such as '%s'; each counts once per label.",
            source, len(twice), next(iter(twice)),
        )  # fmt: skip
    return list(entries.values())


def read_ucf101(source: Path) -> list[Entry]:
    """Read UCF-101's lists of ``Class/v_Class_g01_c01.avi``, with or without a class number.

    Args:
        source: Such as ``trainlist01.txt``.

    Returns:
        Entries labelled by the folder: the numbers count from 1, and the test lists have none.

    Raises:
        ValueError: If a line reads otherwise.
    """
    entries = []
    for number, line in read_lines(source):
        match = UCF101_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"'{source}' reads '{line[:80]}' at line {number}; UCF-101's lists "
                             "read 'Class/v_Class_g01_c01.avi'.")  # fmt: skip
        entries.append(Entry(f"{match[1]}/{match[2]}", match[1], f"line {number}"))
    return entries


def csv_columns(header: str) -> tuple[str, str] | None:
    """Tell which columns of a table hold the path and the label.

    Args:
        header: Its first line.

    Returns:
        Their lower-case names, or ``None`` if it has no such columns.
    """
    columns = _columns(header)
    path = next((name for name in _PATH_COLUMNS if name in columns), None)
    label = next((name for name in _LABEL_COLUMNS if name in columns), None)
    return None if path is None or label is None else (path, label)


def has_split_column(source: Path) -> bool:
    """Tell whether a table says of every row which split it belongs to."""
    lines = read_lines(source)
    return bool(lines) and not set(_SPLIT_COLUMNS).isdisjoint(_columns(lines[0][1]))


def read_csv(source: Path, split: Split) -> list[Entry]:
    """Read any table whose header names a column of paths and one of labels.

    Args:
        source: Values are separated by commas, semicolons or tabs.
        split: Taken from a column `split`, `subset`, `partition` or `set`, if the file has one
            that names several splits.

    Raises:
        ValueError: If no such columns are there, or a path is empty.
    """
    columns, rows = _table(source)
    named = csv_columns(",".join(columns))
    if named is None:
        raise ValueError(
            f"'{source}' has the columns {', '.join(columns)}; one for the path (such as path, "
            "file_name or video) and one for the label (such as label or class) are needed."
        )
    split_column = next((name for name in _SPLIT_COLUMNS if name in columns), "")
    entries = []
    for number, row in _rows_of_split(rows, split_column, split):
        if not row[named[0]]:
            raise ValueError(f"'{source}' names no video at line {number}.")
        entries.append(Entry(row[named[0]], row[named[1]] or None, f"line {number}"))
    return entries


def read_list(source: Path) -> list[Entry]:
    """Read lines of ``path label`` or ``path,label``.

    Args:
        source: The list. Paths may hold spaces.

    Raises:
        ValueError: If a line reads otherwise.
    """
    entries = []
    for number, line in read_lines(source):
        if "," in line:
            fields = [field.strip() for field in next(csv.reader([line]))]
        else:
            fields = line.rsplit(maxsplit=1)
        if len(fields) != 2 or not all(fields):
            raise ValueError(f"'{source}' reads '{line[:80]}' at line {number}; a line is "
                             "'path label' or 'path,label'.")  # fmt: skip
        entries.append(Entry(fields[0], fields[1], f"line {number}"))
    return entries


def is_frame_line(line: str) -> bool:
    """Tell whether a line reads ``folder num_frames label``, both of them whole numbers."""
    fields = line.rsplit(maxsplit=2)
    return (
        len(fields) == 3
        and all(field.isdecimal() for field in fields[1:])
        and "." not in fields[0].rsplit("/", 1)[-1]
    )


def read_frame_list(source: Path) -> list[Entry]:
    """Read lines of ``folder num_frames label``, the usual lists of videos unpacked to pictures.

    Args:
        source: The list.

    Raises:
        ValueError: If a line reads otherwise, or promises no frames.
    """
    entries = []
    for number, line in read_lines(source):
        fields = line.rsplit(maxsplit=2)
        if len(fields) != 3 or not fields[1].isdecimal() or int(fields[1]) < 1:
            raise ValueError(f"'{source}' reads '{line[:80]}' at line {number}; a line is "
                             "'folder num_frames label'.")  # fmt: skip
        entries.append(Entry(fields[0], fields[2], f"line {number}", int(fields[1])))
    return entries


def _columns(header: str) -> list[str]:
    fields = next(csv.reader([header], delimiter=_delimiter(header)), [])
    return [field.strip().casefold() for field in fields]


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _table(source: Path) -> tuple[list[str], list[_Row]]:
    """Read a table with a header; return its columns and rows, every value stripped."""
    lines = read_text(source).splitlines()
    header = lines[0] if lines else ""
    columns = _columns(header)
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(f"'{source}' has two columns '{twice[0]}'.")
    rows = []
    reader = csv.reader(lines[1:], delimiter=_delimiter(header))
    for values in reader:
        number = reader.line_num + 1
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(columns):
            raise ValueError(f"'{source}' has {len(values)} values at line {number} and "
                             f"{len(columns)} columns.")  # fmt: skip
        stripped = (value.strip() for value in values)
        rows.append((number, dict(zip(columns, stripped, strict=True))))
    return columns, rows


def _rows_of_split(rows: Sequence[_Row], column: str, split: Split) -> Sequence[_Row]:
    """Keep the rows of a split, where the table holds several; test and val stand in for another.

    Testing goes without a test split, or with one without labels, by the validation split.
    """
    by_split: dict[Split | None, list[_Row]] = {}
    for row in rows:
        by_split.setdefault(split_of(row[1].get(column)), []).append(row)
    if len(by_split) < 2:
        return rows
    order: dict[Split, tuple[Split, ...]] = {
        "train": ("train",),
        "val": ("val", "test"),
        "test": ("test", "val"),
    }
    return next((by_split[name] for name in order[split] if name in by_split), [])
