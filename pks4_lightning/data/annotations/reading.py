"""The supported data sets, and reading one of their splits.

To add a data set, add a file in :mod:`pks4_lightning.data.annotations.formats` and a line in
:data:`FORMATS`.
"""

import posixpath
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.formats.breakfast import BREAKFAST
from pks4_lightning.data.annotations.formats.coin import COIN
from pks4_lightning.data.annotations.formats.diving48 import DIVING48
from pks4_lightning.data.annotations.formats.folder import FOLDER
from pks4_lightning.data.annotations.formats.hmdb51 import HMDB51
from pks4_lightning.data.annotations.formats.jester import JESTER
from pks4_lightning.data.annotations.formats.kinetics import KINETICS
from pks4_lightning.data.annotations.formats.lists import FRAMES, LIST
from pks4_lightning.data.annotations.formats.ssv1 import SSV1
from pks4_lightning.data.annotations.formats.ssv2 import SSV2
from pks4_lightning.data.annotations.formats.tables import CSV
from pks4_lightning.data.annotations.formats.timed.cvat import CVAT
from pks4_lightning.data.annotations.formats.timed.intervals import BORIS, INTERVALS
from pks4_lightning.data.annotations.formats.timed.label_studio import LABEL_STUDIO
from pks4_lightning.data.annotations.formats.timed.via import VIA
from pks4_lightning.data.annotations.formats.ucf101 import UCF101
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part, Sniffed
from pks4_lightning.data.video.span import Span

__all__ = [
    "FORMATS",
    "FormatName",
    "VideoList",
    "detect_format",
    "format_named",
    "read_entries",
    "refuse_repeated",
]

# Formats are looked for and recognised in this order: if several match, the most specific first.
FORMATS = {
    record.name: record
    for record in (
        COIN, DIVING48, LABEL_STUDIO, CVAT, VIA, SSV2,  # JSON, XML
        SSV1, JESTER, KINETICS, UCF101, BORIS, INTERVALS, CSV, FRAMES, LIST,  # lines of text
        HMDB51, BREAKFAST, FOLDER,  # folders
    )
}  # fmt: skip

if TYPE_CHECKING:
    FormatName: TypeAlias = str
else:
    FormatName = Literal[("auto", *FORMATS)]  # the choices of data.format


@dataclass(frozen=True)
class VideoList:
    """The videos of one split, in the order of their annotations.

    Args:
        source: The annotation file or folder that lists them.
        folder: The folder that ``paths`` are relative to.
        paths: One per video, with forward slashes: a file, or a folder of pictures.
        labels: Class index per video; -1 if unknown.
        missing: Videos that are listed but missing on disk, as listed. Not part of ``paths``.
        missing_labels: Class index of each missing video.
        listed_frames: Number of pictures that each folder must have; empty if not listed.
        frame_template: File names of the pictures; ``None`` detects them.
        split: The split that the annotations contain; differs from the requested one if it is used
            in its place; ``None`` for videos without labels.
        spans: Annotated part of each video, if the annotations give times; ``None`` for a whole
            video. Empty if all are whole.
    """

    source: str
    folder: str
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    missing: tuple[str, ...] = ()
    missing_labels: tuple[int, ...] = ()
    listed_frames: tuple[int, ...] = ()
    frame_template: str | None = None
    split: Split | None = None
    spans: tuple[Span | None, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> str:
        """Return the path of a video, including ``folder``."""
        return str(Path(self.folder, self.paths[index]))

    def name(self, index: int) -> str:
        """Return the path of a video and its annotated part, for messages."""
        span = self.span(index)
        return f"{self.path(index)}{span or ''}"

    def key(self, index: int) -> str:
        """Return an identifier of a video, unique within the split, without ``folder``."""
        return f"{self.paths[index]}{self.span(index) or ''}"

    def span(self, index: int) -> Span | None:
        """Return the annotated part of a video; ``None``: all of it."""
        return self.spans[index] if self.spans else None

    def only(self, kept: Sequence[int]) -> "VideoList":
        """Return a selection of the videos; missing videos are kept.

        Args:
            kept: Indices of the selected videos, in the desired order.
        """
        listed, spans = self.listed_frames, self.spans
        return replace(
            self,
            paths=tuple(self.paths[index] for index in kept),
            labels=tuple(self.labels[index] for index in kept),
            listed_frames=tuple(listed[index] for index in kept) if listed else (),
            spans=tuple(spans[index] for index in kept) if spans else (),
        )

    def without(self, left_out: Set[str]) -> "VideoList":
        """Return all videos except some, in the same order; missing videos are kept.

        Args:
            left_out: Paths to remove, including ``folder``.
        """
        return self.only([i for i in range(len(self)) if self.path(i) not in left_out])

    def renumbered(self, order: Sequence[int]) -> "VideoList":
        """Return the same videos with renumbered classes.

        Args:
            order: The new number of every class.
        """
        return replace(
            self,
            labels=tuple(label if label < 0 else order[label] for label in self.labels),
            missing_labels=tuple(order[label] for label in self.missing_labels),
        )


def format_named(name: FormatName) -> DataFormat:
    """Return the format with a given name.

    Args:
        name: One of :data:`FORMATS`.

    Raises:
        ValueError: If there is no such format.
    """
    if name not in FORMATS:
        raise ValueError(
            f"data.format is '{name}'; it must be auto or one of {', '.join(FORMATS)}."
        )
    return FORMATS[name]


def detect_format(source: Path) -> DataFormat:
    """Detect the format of an annotation file or folder.

    Args:
        source: File or folder.

    Raises:
        ValueError: If the file is not text.
    """
    sniffed = Sniffed(source)
    return next(record for record in FORMATS.values() if record.recognises(sniffed))


def read_entries(
    source: Path, record: DataFormat, *, split: Split = "train", fold: int = 1
) -> list[Entry]:
    """Read an annotation file, or walk a folder.

    Args:
        source: File or folder.
        record: The format to read it in.
        split: Split to read, if it contains several.
        fold: Official split to use, if it contains several: HMDB-51 and Breakfast.

    Returns:
        The entries in order; those of a folder are sorted.

    Raises:
        ValueError: If it is malformed, empty, not a folder where the format needs one, or lists a
            video twice where this is not allowed.
    """
    if record.is_folder and not source.is_dir():
        raise ValueError(f"'{source}' is not a folder, as data.format {record.name} needs it.")
    entries = record.read(Part(source, split, fold))
    if not entries:
        raise ValueError(f"'{source}' lists no videos; check that it is the right file.")
    for entry in entries:
        if not (isinstance(entry.video, str) and entry.video):
            raise ValueError(
                f"'{source}' gives the video {shortened(repr(entry.video))} at "
                f"{shortened(entry.place)}; it must be the name of a file."
            )
    if not record.repeats:
        refuse_repeated((posixpath.normpath(entry.video) for entry in entries), entries, source)
    return entries


def refuse_repeated(paths: Iterable[str], entries: Sequence[Entry], source: Path) -> None:
    """Refuse entries for the same video.

    Args:
        paths: The path of every entry's video, in one spelling.
        entries: The entries.
        source: Where they come from, for the message.

    Raises:
        ValueError: If two paths are equal; the message gives both positions.
    """
    seen: dict[str, Entry] = {}
    for path, entry in zip(paths, entries, strict=True):
        first = seen.setdefault(path, entry)
        if first is not entry:
            raise ValueError(
                f"'{source}' lists the video '{shortened(entry.video)}' twice, at {first.place} "
                f"and at {entry.place}; remove one of them."
            )
