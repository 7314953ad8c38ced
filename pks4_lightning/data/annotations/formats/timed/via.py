"""Exports of the VGG Image Annotator, version 3: temporal segments of videos."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pks4_lightning.data.annotations.entry import Entry, read_json, read_text
from pks4_lightning.data.annotations.formats.timed.intervals import check_span
from pks4_lightning.data.annotations.locating import by_media_name
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.span import Span

__all__ = ["VIA"]

_ATTRIBUTES = re.compile(r"#\s*ATTRIBUTES?\s*=\s*(\{.*\})")


def read_via(part: Part) -> list[Entry]:
    """Read a project (JSON) or the CSV file exported from it.

    Args:
        part: The file. Metadata with two times are segments; those with one or none, such as boxes,
            are skipped. The label is the value of the segment's first attribute.

    Raises:
        ValueError: If it is not such a file, or a segment ends before its start.
    """
    source = part.source
    try:
        is_project = source.suffix.lower() == ".json"
        found = list(_of_project(source) if is_project else _of_table(source))
    except (AttributeError, IndexError, KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(
            f"'{source}' is neither a VIA 3 project nor its CSV export: it lacks files, times or "
            "metadata."
        ) from None
    return [
        Entry(video, label, place, span=check_span(span, source, place))
        for video, label, place, span in found
    ]


def _of_project(source: Path) -> Iterator[tuple[str, str | None, str, Span]]:
    content = read_json(source)
    for name, metadata in content["metadata"].items():
        if len(metadata["z"]) == 2:
            file = content["file"][str(content["view"][str(metadata["vid"])]["fid_list"][0])]
            label = _label(metadata["av"], content["attribute"])
            yield file["fname"], label, f"metadata {name}", _span(metadata["z"])


def _of_table(source: Path) -> Iterator[tuple[str, str | None, str, Span]]:
    lines = read_text(source).split("\n")
    said = next((match for line in lines if (match := _ATTRIBUTES.match(line))), None)
    attributes = json.loads(said[1]) if said else {}
    rows = csv.reader(line if not line.startswith("#") else "" for line in lines)
    for row in rows:
        if not row:
            continue
        _, files, _, times, _, values = row[:6]
        span = json.loads(times)
        if len(span) == 2:
            place = f"line {rows.line_num}"
            label = _label(json.loads(values), attributes)
            yield json.loads(files)[0], label, place, _span(span)


def _span(times: Sequence[float]) -> Span:
    start, end = times
    return Span(float(start), float(end))


def _label(values: Mapping[str, str], attributes: Mapping[str, Any]) -> str | None:
    """Return the label of a segment: its text, or the name of the option with the given number."""
    for number, value in values.items():
        attribute = attributes.get(number)
        options = attribute.get("options", {}) if isinstance(attribute, dict) else {}
        if text := str(options.get(value, value)).strip():
            return text
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
