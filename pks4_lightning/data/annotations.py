"""Annotation files as the data sets' authors publish them, read into lists of videos and labels.

* ``ssv2``: Something-Something V2's JSON, a list of ``{"id", "template", ...}`` over ``ID.webm``,
  and the JSON that numbers the templates.
* ``kinetics``: Kinetics' CSV, ``label,youtube_id,time_start,time_end,split``, over
  ``ID_000012_000022.mp4`` or ``ID.mp4``.
* ``list``: a line ``path label`` or ``path,label`` per video.
* ``folder``: a folder per class.
"""

import csv
import difflib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, TypeAlias

from pks4_lightning.data.video import VIDEO_SUFFIXES

__all__ = [
    "AnnotationFormat",
    "Entry",
    "VideoList",
    "detect_format",
    "find_videos",
    "label_entries",
    "names_from_entries",
    "read_entries",
    "read_label_names",
]

logger = logging.getLogger(__name__)

AnnotationFormat: TypeAlias = Literal["ssv2", "kinetics", "list", "folder"]

_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


class Entry(NamedTuple):
    """One line of an annotation file."""

    video: str
    """Path below the videos' folder, or the name that the file's own name begins with."""
    label: str | None
    place: str
    """Where it stands, for messages: a line or an id."""


@dataclass(frozen=True)
class VideoList:
    """The videos of one split, in the order of their annotations.

    Args:
        source: The annotation file or folder that lists them.
        folder: What ``paths`` are relative to.
        paths: One per video, with forward slashes.
        labels: Class index per video; -1 where it is not known.
        missing: What is listed and not on disk, where that was looked up. Not part of ``paths``.
    """

    source: str
    folder: str
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> str:
        """Return the path of a video, ``folder`` included."""
        return str(Path(self.folder, self.paths[index]))


def detect_format(source: Path) -> AnnotationFormat:
    """Tell the format of an annotation file, or of a folder, by looking at it.

    Args:
        source: File or folder.

    Raises:
        ValueError: If the file is no text.
    """
    if source.is_dir():
        return "folder"
    if source.suffix.lower() == ".json":
        return "ssv2"
    first_line = _text(source).lstrip("\ufeff").split("\n", 1)[0]
    columns = {column.strip() for column in first_line.split(",")}
    return "kinetics" if set(_KINETICS_COLUMNS) <= columns else "list"


def read_entries(source: Path, annotation_format: AnnotationFormat) -> list[Entry]:
    """Read an annotation file, or walk through a folder of class folders.

    Args:
        source: File or folder.
        annotation_format: How to read it.

    Returns:
        Its entries in order; a folder's are sorted.

    Raises:
        ValueError: If it is malformed, empty, or lists a video twice.
    """
    readers = {
        "ssv2": _read_ssv2,
        "kinetics": _read_kinetics,
        "list": _read_list,
        "folder": _read_folder,
    }
    entries = readers[annotation_format](source)
    if not entries:
        raise ValueError(f"'{source}' lists no videos; check that it is the right file.")
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.video, entry)
        if first is not entry:
            raise ValueError(
                f"'{source}' lists the video '{entry.video}' twice, at {first.place} and at "
                f"{entry.place}; remove one of them."
            )
    return entries


def read_label_names(source: Path) -> list[str]:
    """Read the names of all classes, in the order of their indices.

    Args:
        source: JSON that maps names to indices (Something-Something) or lists names, or a text
            file with a name per line, which an index and a comma may precede or follow.

    Raises:
        ValueError: If indices have gaps, or a name or index appears twice.
    """
    content = _json(source) if source.suffix.lower() == ".json" else _label_lines(source)
    if isinstance(content, list):
        names = [_plain_template(str(name)) for name in content]
    elif isinstance(content, dict):
        by_index = {}
        for name, index in content.items():
            if not str(index).isdecimal() or int(index) in by_index:
                raise ValueError(f"'{source}' gives the label '{name}' the index '{index}', "
                                 "which is no number or is taken already.")  # fmt: skip
            by_index[int(index)] = _plain_template(name)
        if sorted(by_index) != list(range(len(by_index))):
            raise ValueError(
                f"'{source}' numbers {len(by_index)} labels from {min(by_index)} to "
                f"{max(by_index)}; indices must run from 0 without gaps."
            )
        names = [by_index[index] for index in range(len(by_index))]
    else:
        raise ValueError(f"'{source}' must map label names to indices, or list the names.")
    if not names:
        raise ValueError(f"'{source}' holds no labels.")
    _positions(names, source)
    return names


def names_from_entries(entries: Sequence[Entry]) -> list[str]:
    """Collect the class names of a split that comes without a list of them.

    Args:
        entries: The training split's.

    Returns:
        The names, sorted. Where all labels are whole numbers, every number from 0 to the largest.
    """
    names = {entry.label for entry in entries if entry.label is not None}
    if names and all(name.isdecimal() for name in names):
        return [str(index) for index in range(max(map(int, names)) + 1)]
    return sorted({_plain_template(name) for name in names})


def label_entries(entries: Sequence[Entry], names: Sequence[str], source: Path) -> tuple[int, ...]:
    """Turn the entries' labels into class indices.

    Args:
        entries: Entries, each with a label.
        names: Names of all classes. Case, underscores and brackets make no difference.
        source: Where the entries come from, for messages.

    Raises:
        ValueError: If a label is absent or not among the names; the closest names are suggested.
    """
    position = _positions(names, source)
    labels = []
    for entry in entries:
        if entry.label is None:
            raise ValueError(f"'{source}' gives no label for '{entry.video}' at {entry.place}.")
        label = position.get(_key(entry.label))
        if label is None and entry.label.isdecimal() and int(entry.label) < len(names):
            label = int(entry.label)
        if label is None:
            raise ValueError(_unknown_label(entry, names, source))
        labels.append(label)
    return tuple(labels)


def find_videos(folder: Path) -> list[str]:
    """List the video files below a folder, at any depth, sorted, relative to it."""
    found = []
    for parent, _, names in os.walk(folder, followlinks=True):
        below = Path(parent).relative_to(folder)
        found += [
            (below / name).as_posix()
            for name in names
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)


def _read_ssv2(source: Path) -> list[Entry]:
    content = _json(source)
    if not isinstance(content, list):
        raise ValueError(f"'{source}' must be a JSON list of videos, one object with an id each.")
    entries = []
    for number, video in enumerate(content, start=1):
        if not isinstance(video, dict) or not str(video.get("id", "")).strip():
            raise ValueError(f"'{source}' has no 'id' in its entry number {number}.")
        identity = str(video["id"])
        label = video.get("template", video.get("label"))
        label = None if label is None else _plain_template(str(label))
        entries.append(Entry(_inside(identity, source, f"id {identity}"), label, f"id {identity}"))
    return entries


def _read_kinetics(source: Path) -> list[Entry]:
    lines = csv.DictReader(_text(source).lstrip("\ufeff").splitlines())
    absent = [name for name in _KINETICS_COLUMNS[1:] if name not in (lines.fieldnames or [])]
    if absent:
        raise ValueError(f"'{source}' has no column '{absent[0]}'; Kinetics' CSV files have the "
                         "columns label,youtube_id,time_start,time_end,split.")  # fmt: skip
    entries: dict[tuple[str, str | None], Entry] = {}
    for number, row in enumerate(lines, start=2):
        place = f"line {number}"
        try:
            start, end = int(float(row["time_start"])), int(float(row["time_end"]))
        except (TypeError, ValueError):
            raise ValueError(
                f"'{source}' has the times '{row['time_start']}' and '{row['time_end']}' at "
                f"{place}; they must be seconds."
            ) from None
        video = _inside(f"{row['youtube_id']}_{start:06d}_{end:06d}", source, place)
        # published lists repeat a few rows
        entries.setdefault((video, row.get("label")), Entry(video, row.get("label"), place))
    return list(entries.values())


def _read_list(source: Path) -> list[Entry]:
    entries = []
    for number, line in enumerate(_text(source).lstrip("\ufeff").splitlines(), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        if "," in line:
            fields = [field.strip() for field in next(csv.reader([line]))]
        else:
            fields = line.strip().rsplit(maxsplit=1)
        if len(fields) != 2 or not all(fields):
            raise ValueError(f"'{source}' reads '{line.strip()[:80]}' at {place}; a line is "
                             "'path label' or 'path,label'.")  # fmt: skip
        entries.append(Entry(fields[0], fields[1], place))
    return entries


def _read_folder(source: Path) -> list[Entry]:
    if not source.is_dir():
        raise ValueError(f"'{source}' is not a folder of class folders.")
    entries = []
    for video in find_videos(source):
        label, _, rest = video.partition("/")
        if not rest:
            raise ValueError(f"'{source}' holds the video '{video}' beside its class folders; "
                             "every video must lie in the folder of its class.")  # fmt: skip
        entries.append(Entry(video, label, f"'{video}'"))
    return entries


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"'{source}' is no text in UTF-8, so no annotations.") from None


def _json(source: Path) -> Any:
    try:
        return json.loads(_text(source))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"'{source}' is no valid JSON: {error.msg} in line {error.lineno}."
        ) from None


def _label_lines(source: Path) -> dict[str, str] | list[str]:
    lines = [line.strip() for line in _text(source).lstrip("\ufeff").splitlines() if line.strip()]
    if lines and {"id", "name"} <= set(lines[0].split(",")):
        lines = lines[1:]
    before = [re.fullmatch(r"(\d+)\s*,\s*(.+)", line) for line in lines]
    after = [re.fullmatch(r"(.+?)\s*[,;]\s*(\d+)", line) for line in lines]
    if all(before):
        return {match[2].strip('"'): match[1] for match in before if match}
    if all(after):
        return {match[1].strip('"'): match[2] for match in after if match}
    return lines


def _inside(path: str, source: Path, place: str) -> str:
    """Refuse a path that leaves the folder it is relative to."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\0" in path:
        raise ValueError(f"'{source}' names '{path}' at {place}, outside of the videos' folder.")
    return path


def _plain_template(name: str) -> str:
    """Something-Something's templates as its label list writes them, without brackets."""
    return re.sub(r"\[([^\]]*)\]", r"\1", name).strip()


def _key(name: str) -> str:
    return " ".join(_plain_template(name).replace("_", " ").split()).casefold()


def _positions(names: Sequence[str], source: Path) -> dict[str, int]:
    position: dict[str, int] = {}
    for index, name in enumerate(names):
        if position.setdefault(_key(name), index) != index:
            raise ValueError(
                f"'{source}' has two labels that differ in case or underscores at most: "
                f"'{names[position[_key(name)]]}' and '{name}'."
            )
    return position


def _unknown_label(entry: Entry, names: Sequence[str], source: Path) -> str:
    label = str(entry.label)
    if label.isdecimal():
        return (
            f"'{source}' gives the label {label} at {entry.place}; the {len(names)} known ones "
            f"are 0 to {len(names) - 1}."
        )
    by_key = {_key(name): name for name in names}
    close = [by_key[key] for key in difflib.get_close_matches(_key(label), by_key, n=3)]
    hint = f"the closest known ones are {', '.join(map(repr, close))}" if close else (
        f"it resembles none of the {len(names)} known ones"
    )  # fmt: skip
    return f"'{source}' gives the unknown label '{label}' at {entry.place}; {hint}."
