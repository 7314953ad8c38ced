"""Exports of Label Studio: videos with labels on their timeline, or with a single choice."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pks4_lightning.data.annotations.entry import Entry, read_json
from pks4_lightning.data.annotations.formats.timed.intervals import check_span
from pks4_lightning.data.annotations.locating import by_media_name
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.span import Span

__all__ = ["LABEL_STUDIO"]

_VIDEO_KEYS = ("video", "video_url", "url", "file")


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
            for annotation in task["annotations"]:
                if not annotation.get("was_cancelled"):
                    for result in annotation["result"]:
                        for label, span in _regions(result):
                            if span is not None:
                                check_span(span, part.source, place)
                            entries.append(Entry(video, label, place, span=span))
        except (AttributeError, KeyError, TypeError):
            raise ValueError(
                f"Task {number} of '{part.source}' is not from Label Studio's JSON "
                "export: it needs data.video and annotations with results."
            ) from None
    return entries


def _video_of(task: Any) -> str:
    """Return the path or name of a task's video from its address on the server."""
    data = task["data"]
    key = next((key for key in _VIDEO_KEYS if key in data), None)
    address = urlsplit(str(data[key] if key else next(iter(data.values()))))
    local = parse_qs(address.query).get("d")  # local files: ?d=folder/clip.mp4
    return local[0] if local else unquote(address.path)


def _regions(result: Any) -> Iterator[tuple[str, Span | None]]:
    value = result["value"]
    kind = result["type"]
    if kind == "choices":
        for label in value["choices"]:
            yield label, None
    elif kind == "timelinelabels":
        for each in value["ranges"]:
            for label in value["timelinelabels"]:
                yield label, Span(float(each["start"]) - 1, float(each["end"]), "frames")
    elif kind in value and "start" in value and "end" in value:
        for label in value[kind]:
            yield label, Span(float(value["start"]), float(value["end"]))


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
