"""Exports of the VGG Image Annotator, version 3: temporal segments of videos."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from pks4_lightning.data.annotations.entry import Entry, read_json, read_text
from pks4_lightning.data.annotations.formats.timed.intervals import check_span, seconds
from pks4_lightning.data.annotations.locating import by_media_name
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.span import Span

__all__ = ["VIA"]

_ATTRIBUTES = re.compile(r"#\s*ATTRIBUTES?\s*=\s*(\{.*\})")

_Segment: TypeAlias = tuple[str, str | None, str, tuple[object, ...]]
"""Video, label, place, and the two times as written."""


def read_via(part: Part) -> list[Entry]:
    """Read a project (JSON) or the CSV file exported from it.

    Args:
        part: The file. Metadata with two times are segments; those with one or none, such as boxes,
            are skipped. The label is the value of the segment's first attribute.

    Raises:
        ValueError: If it is not such a file, or a segment ends before its start.
    """
    source = part.source
    is_project = source.suffix.lower() == ".json"
    entries = []
    for video, label, place, times in _of_project(source) if is_project else _of_table(source):
        start, end = (seconds(bound, source, place) for bound in times)
        span = check_span(Span(start, end), source, place)
        entries.append(Entry(video, label, place, span=span))
    return entries


def _of_project(source: Path) -> Iterator[_Segment]:
    content = read_json(source)
    with _refusing(source):
        files, views, attributes = (content[key] for key in ("file", "view", "attribute"))
        metadata = content["metadata"].items()
    for name, each in metadata:
        place = f"metadata {name}"
        with _refusing(source, place):
            if len(times := each["z"]) == 2:
                video = files[str(views[str(each["vid"])]["fid_list"][0])]["fname"]
                yield video, _label(each["av"], attributes), place, tuple(times)


def _of_table(source: Path) -> Iterator[_Segment]:
    lines = read_text(source).split("\n")
    said = next((match for line in lines if (match := _ATTRIBUTES.match(line))), None)
    with _refusing(source, "its line of attributes"):
        attributes = json.loads(said[1]) if said else {}
    rows = csv.reader(line if not line.startswith("#") else "" for line in lines)
    while True:
        with _refusing(source, f"line {rows.line_num + 1}"):
            if (row := next(rows, None)) is None:
                return
            if row:
                _, files, _, listed, _, values = row[:6]
                if len(times := json.loads(listed)) == 2:
                    label = _label(json.loads(values), attributes)
                    yield json.loads(files)[0], label, f"line {rows.line_num}", tuple(times)


@contextmanager
def _refusing(source: Path, place: str = "its beginning") -> Iterator[None]:
    """Say where a file is not as VIA writes it."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, csv.Error):
        raise ValueError(
            f"'{source}' is neither a VIA 3 project nor its CSV export: at {shortened(place)}, it "
            "lacks files, times or metadata."
        ) from None


def _label(values: Mapping[str, str], attributes: Mapping[str, Any]) -> str | None:
    """Return the label of a segment: its text, or the name of the option with the given number."""
    for number, value in values.items():
        attribute = attributes.get(number)
        options = attribute.get("options", {}) if isinstance(attribute, dict) else {}
        if text := options.get(value, value).strip():
            return str(text)
    return None


def _is_via(sniffed: Sniffed) -> bool:
    if sniffed.is_json:
        return '"project"' in sniffed.beginning and '"pid"' in sniffed.beginning
    return re.search(r"^#\s*CSV_HEADER\s*=\s*metadata_id", sniffed.beginning, re.M) is not None


VIA = DataFormat(
    name="via",
    read=read_via,
    recognises=_is_via,
    splits={"train": ("train.csv", "train.json"), "val": ("val.csv", "val.json")},
    labels=("labels.txt", "classes.txt"),
    labels_are_names=True,
    repeats=True,
    videos=("videos", ""),
    locate=by_media_name,
    is_anybodys=True,
)
