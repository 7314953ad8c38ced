"""Annotation files as the data sets' authors publish them, read into lists of videos and labels.

* ``ssv2``: Something-Something V2's JSON, a list of ``{"id", "template", ...}`` over ``ID.webm``,
  and the JSON that numbers the templates.
* ``kinetics``: Kinetics-400's, 600's and 700's CSV, ``label,youtube_id,time_start,time_end,split``,
  over ``ID_000012_000022.mp4``, ``ID_12_22.mp4`` or ``ID.mp4``.
* ``ucf101``: ``trainlist01.txt`` with lines of ``Class/v_Class_g01_c01.avi 1``, ``classInd.txt``.
* ``hmdb51``: a folder of ``CLASS_test_split1.txt``, with lines of ``video.avi 1``.
* ``diving48``: JSON, a list of ``{"vid_name", "label", ...}``, and ``Diving48_vocab.json``.
* ``breakfast``: the folder of ``P03/cam01/P03_cereals.avi``; persons split it.
* ``coin``: ``COIN.json``, ``{"database": {ID: {"class", "recipe_type", "subset", ...}}}``.
* ``csv``: any table whose header names a column of paths and one of labels.
* ``list``: a line ``path label`` or ``path,label`` per video.
* ``frames``: a line ``folder num_frames label`` per video that was unpacked to pictures.
* ``folder``: a folder per class, of videos or of folders of pictures.
"""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from pks4_lightning.data.annotations.formats.entry import (
    Entry,
    Split,
    read_lines,
    read_text,
    shortened,
)
from pks4_lightning.data.annotations.formats.folders import (
    find_videos,
    is_breakfast,
    read_breakfast,
    read_folder,
    read_hmdb51,
)
from pks4_lightning.data.annotations.formats.json_files import read_coin, read_diving48, read_ssv2
from pks4_lightning.data.annotations.formats.tables import (
    KINETICS_COLUMNS,
    UCF101_LINE,
    csv_columns,
    is_frame_line,
    read_csv,
    read_frame_list,
    read_kinetics,
    read_list,
    read_ucf101,
)

__all__ = ["AnnotationFormat", "VideoList", "detect_format", "find_videos", "read_entries"]

AnnotationFormat: TypeAlias = Literal[
    "ssv2", "kinetics", "ucf101", "hmdb51", "diving48", "breakfast", "coin",
    "csv", "list", "frames", "folder",
]  # fmt: skip

_BEGINNING = 4096


@dataclass(frozen=True)
class VideoList:
    """The videos of one split, in the order of their annotations.

    Args:
        source: The annotation file or folder that lists them.
        folder: What ``paths`` are relative to.
        paths: One per video, with forward slashes: a file, or a folder of pictures.
        labels: Class index per video; -1 where it is not known.
        missing: What is listed and not on disk, as it is listed. Not part of ``paths``.
        missing_labels: Class index of each of them.
        listed_frames: Pictures that each folder must hold; empty where the list does not say.
        frame_template: Name of the pictures; ``None`` finds out.
    """

    source: str
    folder: str
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    missing: tuple[str, ...] = ()
    missing_labels: tuple[int, ...] = ()
    listed_frames: tuple[int, ...] = ()
    frame_template: str | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> str:
        """Return the path of a video, ``folder`` included."""
        return str(Path(self.folder, self.paths[index]))

    def without(self, left_out: Set[str]) -> "VideoList":
        """Return the other videos, in the same order; those that are missing stay.

        Args:
            left_out: Paths, ``folder`` included.
        """
        kept = [index for index in range(len(self)) if self.path(index) not in left_out]
        listed = self.listed_frames
        return replace(
            self,
            paths=tuple(self.paths[index] for index in kept),
            labels=tuple(self.labels[index] for index in kept),
            listed_frames=tuple(listed[index] for index in kept) if listed else (),
        )

    def renumbered(self, order: Sequence[int]) -> "VideoList":
        """Return the same videos with other numbers for their classes.

        Args:
            order: The new number of every class.
        """
        return replace(
            self,
            labels=tuple(label if label < 0 else order[label] for label in self.labels),
            missing_labels=tuple(order[label] for label in self.missing_labels),
        )


def detect_format(source: Path) -> AnnotationFormat:
    """Tell the format of an annotation file, or of a folder, by looking at it.

    Args:
        source: File or folder.

    Raises:
        ValueError: If the file is no text.
    """
    if source.is_dir():
        if any(re.search(r"_test_split\d\.txt$", path.name) for path in source.iterdir()):
            return "hmdb51"
        return "breakfast" if is_breakfast(source) else "folder"
    if source.suffix.lower() == ".json":
        beginning = read_text(source)[:_BEGINNING]
        if re.match(r'\s*\{\s*"database"\s*:', beginning):
            return "coin"
        return "diving48" if re.match(r'\s*\[\s*\{[^}]*"vid_name"\s*:', beginning) else "ssv2"
    lines = read_lines(source)
    first_line = lines[0][1] if lines else ""
    columns = {column.strip() for column in first_line.split(",")}
    if set(KINETICS_COLUMNS[1:]) <= columns:
        return "kinetics"
    if csv_columns(first_line) is not None:
        return "csv"
    if UCF101_LINE.fullmatch(first_line):
        return "ucf101"
    return "frames" if is_frame_line(first_line) else "list"


def read_entries(
    source: Path, annotation_format: AnnotationFormat, *, split: Split = "train", fold: int = 1
) -> list[Entry]:
    """Read an annotation file, or walk through a folder.

    Args:
        source: File or folder.
        annotation_format: How to read it.
        split: Which part of it, where it holds several.
        fold: Which of the official splits, where it holds several: HMDB-51's and Breakfast's.

    Returns:
        Its entries in order; a folder's are sorted.

    Raises:
        ValueError: If it is malformed, empty, or lists a video twice (Kinetics' may do so).
    """
    entries: list[Entry]
    match annotation_format:
        case "ssv2":
            entries = read_ssv2(source)
        case "kinetics":
            entries = read_kinetics(source, split)
        case "ucf101":
            entries = read_ucf101(source)
        case "hmdb51":
            entries = read_hmdb51(source, split, fold)
        case "diving48":
            entries = read_diving48(source)
        case "breakfast":
            entries = read_breakfast(source, split, fold)
        case "coin":
            entries = read_coin(source, split)
        case "csv":
            entries = read_csv(source, split)
        case "list":
            entries = read_list(source)
        case "frames":
            entries = read_frame_list(source)
        case "folder":
            entries = read_folder(source)
    if not entries:
        raise ValueError(f"'{source}' lists no videos; check that it is the right file.")
    seen: dict[str, Entry] = {}
    for entry in entries if annotation_format != "kinetics" else ():
        first = seen.setdefault(entry.video, entry)
        if first is not entry:
            raise ValueError(
                f"'{source}' lists the video '{shortened(entry.video)}' twice, at {first.place} "
                f"and at {entry.place}; remove one of them."
            )
    return entries
