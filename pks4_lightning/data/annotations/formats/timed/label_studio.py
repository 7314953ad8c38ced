"""Exports of Label Studio: videos with labels on their timeline, or with a single choice."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from pks4_lightning.data.annotations.entry import Entry, read_json
from pks4_lightning.data.annotations.formats.timed.intervals import check_span, seconds
from pks4_lightning.data.annotations.locating import by_media_name
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.span import Span, Unit

__all__ = ["LABEL_STUDIO"]

_VIDEO_KEYS = ("video", "video_url", "url", "file")

_Times: TypeAlias = tuple[object, object, Unit]
"""Start and end as written, and their unit."""


def read_label_studio(part: Part) -> list[Entry]:
    """Read the JSON export of a project.

    Ranges of ``TimelineLabels`` count frames from 1, both ends included; regions with a start and
    an end are in seconds; ``Choices`` apply to the whole video. All annotations of a task are read,
    except cancelled ones.

    Args:
        part: The file.

    Raises:
        ValueError: If it is not such an export, or an interval ends before its start.
    """
    content = read_json(part.source)
    if not isinstance(content, list):
        raise ValueError(
            f"'{part.source}' must be a JSON list of tasks: in Label Studio, export as JSON."
        )
    entries = []
    for number, task in enumerate(content, start=1):
        try:
            place = f"task {task.get('id', number)}"
            video = _video_of(task)
            regions = list(_regions(task))
        except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
            raise ValueError(
                f"Task {number} of '{part.source}' is not from Label Studio's JSON "
                "export: it needs data.video and annotations with results."
            ) from None
        for label, times in regions:
            span = None if times is None else _span(times, part.source, place)
            entries.append(Entry(video, label, place, span=span))
    return entries


def _video_of(task: Any) -> str:
    """Return the path or name of a task's video from its address on the server."""
    data = task["data"]
    key = next((key for key in _VIDEO_KEYS if key in data), None)
    text = data[key] if key else next(iter(data.values()))
    if not isinstance(text, str):
        raise TypeError("no address")
    address = urlsplit(text)
    local = parse_qs(address.query).get("d")  # local files: ?d=folder/clip.mp4
    return local[0] if local else unquote(address.path)


def _regions(task: Any) -> Iterator[tuple[str, _Times | None]]:
    """Yield every label of a task and its times, ``None`` for the whole video."""
    for annotation in task["annotations"]:
        if not annotation.get("was_cancelled"):
            for result in annotation["result"]:
                yield from _labelled(result["type"], result["value"])


def _labelled(kind: str, value: Any) -> Iterator[tuple[str, _Times | None]]:
    if kind == "choices":
        yield from ((label, None) for label in _names(value[kind]))
    elif kind == "timelinelabels":
        for each in value["ranges"]:
            times: _Times = (each["start"], each["end"], "frames")
            yield from ((label, times) for label in _names(value[kind]))
    elif kind in value and "start" in value and "end" in value:
        times = (value["start"], value["end"], "seconds")
        yield from ((label, times) for label in _names(value[kind]))


def _names(labels: Any) -> list[str]:
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise TypeError("no list of names")
    return labels


def _span(times: _Times, source: Path, place: str) -> Span:
    start, end = (seconds(bound, source, place) for bound in times[:2])
    unit = times[2]
    return check_span(Span(start - (unit == "frames"), end, unit), source, place)


def _is_label_studio(sniffed: Sniffed) -> bool:
    return sniffed.is_json and re.match(r"\s*\[\s*\{", sniffed.beginning) is not None and (
        '"annotations"' in sniffed.beginning and '"result"' in sniffed.beginning
    )  # fmt: skip


LABEL_STUDIO = DataFormat(
    name="label_studio",
    read=read_label_studio,
    recognises=_is_label_studio,
    splits={"train": ("train.json",), "val": ("val.json", "validation.json")},
    labels=("labels.txt", "classes.txt"),
    labels_are_names=True,
    repeats=True,
    videos=("videos", ""),
    locate=by_media_name,
    is_anybodys=True,
)
