"""Tables of labelled intervals: video, start, end and label."""

import logging
from pathlib import Path
from typing import NamedTuple

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.formats.tables import (
    column_names,
    read_table,
    rows_of_split,
    split_column,
)
from pks4_lightning.data.annotations.locating import as_written, by_media_name
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.span import Span, Unit

__all__ = ["BORIS", "INTERVALS", "check_span", "read_intervals", "seconds"]

logger = logging.getLogger(__name__)

# in order of preference
_VIDEOS = ("video", "path", "video_path", "file", "file_name", "filename", "video_id", "clip")
_LABELS = ("label", "label_name", "class", "class_name", "action", "activity", "category")
_TIMES: tuple[tuple[str, str, Unit], ...] = (
    ("start", "end", "seconds"),
    ("start", "stop", "seconds"),
    ("start_time", "end_time", "seconds"),
    ("start_time", "stop_time", "seconds"),
    ("start_sec", "end_sec", "seconds"),
    ("start_seconds", "end_seconds", "seconds"),
    ("start_timestamp", "stop_timestamp", "seconds"),
    ("begin", "end", "seconds"),
    ("start_frame", "end_frame", "frames"),
    ("start_frame", "stop_frame", "frames"),
)
_BORIS_EVENT = {"behavior", "start (s)", "stop (s)"}
_BORIS_VIDEOS = ("media file", "media file name", "media file path")


class _Columns(NamedTuple):
    """The columns of a table by meaning."""

    video: str
    start: str
    end: str
    unit: Unit
    label: str


def read_intervals(part: Part) -> list[Entry]:
    """Read rows of ``video,start,end,label``.

    Args:
        part: The file; values are separated by commas, semicolons or tabs. Times are seconds from
            the first frame, or clock times such as ``0:01:02.5``; ``start_frame`` and ``end_frame``
            are frame numbers counted from 0, the end excluded. If a column such as ``split`` names
            splits, only rows of the requested one are read.

    Raises:
        ValueError: If a column is missing, a value is empty, or an interval ends before its start.
    """
    columns, rows = read_table(part.source)
    named = _columns(columns)
    if named is None:
        raise ValueError(
            f"'{part.source}' has the columns {', '.join(columns)}; it needs video, start, end and "
            "label (or start_frame and end_frame for start and end)."
        )
    split, chosen = rows_of_split(rows, split_column(columns), part.split, part.source)
    entries = []
    for number, row in chosen:
        place = f"line {number}"
        if not row[named.video]:
            raise ValueError(f"'{part.source}' names no video at {place}.")
        start, end = (seconds(row[name], part.source, place) for name in (named.start, named.end))
        span = check_span(Span(start, end, named.unit), part.source, place)
        entries.append(
            Entry(row[named.video], row[named.label] or None, place, split=split, span=span)
        )
    return entries


def read_boris(part: Part) -> list[Entry]:
    """Read aggregated events of BORIS. Only states are read: points have no duration.

    Args:
        part: The table, separated by commas or tabs.

    Raises:
        ValueError: If a column is missing, or a time is invalid.
    """
    columns, rows = read_table(part.source)
    video = next((name for name in _BORIS_VIDEOS if name in columns), None)
    absent = sorted(_BORIS_EVENT - {*columns})
    if video is None or absent:
        missing = absent[0].capitalize() if absent else "Media file"
        raise ValueError(
            f"'{part.source}' has no column '{missing}': in BORIS, export aggregated events of "
            "observations with media files."
        )
    entries = []
    num_points = 0
    for number, row in rows:
        place = f"line {number}"
        start, end = (seconds(row[f"{x} (s)"], part.source, place) for x in ("start", "stop"))
        if row.get("behavior type", "").upper() == "POINT" or start == end:
            num_points += 1
            continue
        span = check_span(Span(start, end), part.source, place)
        entries.append(Entry(row[video], row["behavior"] or None, place, span=span))
    if num_points:
        logger.info("'%s': %d point events are skipped.", part.source, num_points)
    return entries


def check_span(span: Span, source: Path, place: str) -> Span:
    """Return an interval if it is valid.

    Args:
        span: The interval.
        source: The annotations, for the message.
        place: Position in the annotations.

    Raises:
        ValueError: If it ends before its start, or starts before the video.
    """
    if not 0 <= span.start < span.end < float("inf"):
        raise ValueError(
            f"'{source}' gives an interval from {span.start:g} to {span.end:g} {span.unit} at "
            f"{shortened(place)}; it must start at 0 or later and end after its start."
        )
    return span


def seconds(given: object, source: Path, place: str) -> float:
    """Parse seconds, or hours, minutes and seconds separated by colons.

    Args:
        given: A number, or its text.
        source: The annotations, for the message.
        place: Position in the annotations.

    Raises:
        ValueError: If it is neither.
    """
    total = 0.0
    try:
        for part in str(given).split(":"):
            total = 60.0 * total + float(part)
    except ValueError:
        raise ValueError(
            f"'{source}' gives the time '{shortened(str(given))}' at {shortened(place)}; times "
            "must be seconds such as 62.5, or clock times such as 0:01:02.5."
        ) from None
    return total


def _columns(columns: list[str]) -> _Columns | None:
    video = next((name for name in _VIDEOS if name in columns), None)
    label = next((name for name in _LABELS if name in columns), None)
    times = next((each for each in _TIMES if {*each[:2]} <= {*columns}), None)
    if video is None or label is None or times is None:
        return None
    return _Columns(video, *times, label)


def _is_boris(sniffed: Sniffed) -> bool:
    return {*column_names(sniffed.first_line)} >= _BORIS_EVENT


INTERVALS = DataFormat(
    name="intervals",
    read=read_intervals,
    recognises=lambda sniffed: _columns(column_names(sniffed.first_line)) is not None,
    splits={
        "train": ("train.csv", "annotations.csv"),
        "val": ("val.csv", "validation.csv"),
        "test": ("test.csv",),
    },
    labels=("labels.txt", "classes.txt"),
    repeats=True,
    videos=("", "videos"),
    locate=as_written,
    is_anybodys=True,
)

BORIS = DataFormat(
    name="boris",
    read=read_boris,
    recognises=_is_boris,
    splits={"train": ("train.csv", "train.tsv"), "val": ("val.csv", "val.tsv")},
    labels=("labels.txt", "classes.txt"),
    labels_are_names=True,
    repeats=True,
    videos=("videos", ""),
    locate=by_media_name,
    is_anybodys=True,
)
