"""Find a data set's annotations, label names and videos below one root folder."""

import logging
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.file_lookup import FolderIndex
from pks4_lightning.data.annotations.label_lists import read_label_names
from pks4_lightning.data.annotations.labels import ClassNames
from pks4_lightning.data.annotations.locating import Located, Search
from pks4_lightning.data.annotations.paths import UnsafePathError
from pks4_lightning.data.annotations.reading import (
    FORMATS,
    FormatName,
    VideoList,
    detect_format,
    format_named,
    read_entries,
    refuse_repeated,
)
from pks4_lightning.data.annotations.record import DataFormat
from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import check_frame_template
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["AnnotationSource", "DataLayout"]

logger = logging.getLogger(__name__)

_NUM_LOOKED_AT = 1_000


class AnnotationSource(NamedTuple):
    """The annotations of a split, and the format they are in."""

    path: Path
    record: DataFormat
    split: Split
    """The split they contain: the requested one, or the one used in its place."""


class DataLayout:
    """Finds and reads files that are not given explicitly, where the data sets' archives put them.

    Args:
        root: Folder that everything else is relative to.
        annotation_format: Format of the annotations; ``auto`` detects it from the files.
        train: Annotations of the training split, or the folder of its class folders.
        val: The same for validation.
        test: The same for testing. If it is neither given nor found, or has no labels (as in
            Something-Something), the validation split is used; papers report results on that.
        labels: Names of all classes. Without it, the sorted labels of the training split.
        videos: Folder with the videos.
        fold: Official split to use: 1 to 3 for UCF-101 and HMDB-51, 1 to 4 for Breakfast.
        allow_missing: Share of a split's listed videos that may be missing on disk.
        frame_template: File names of the pictures, if videos are folders of pictures.

    Raises:
        FileNotFoundError: If the root, or a file that is given, does not exist.
        ValueError: If ``allow_missing`` is not a share, or ``frame_template`` is invalid.
    """

    def __init__(
        self,
        root: str,
        *,
        annotation_format: FormatName = "auto",
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        labels: str | None = None,
        videos: str | None = None,
        fold: int = 1,
        allow_missing: float = 0.01,
        frame_template: str | None = None,
    ) -> None:
        if not root:  # as a path, it would be the current folder
            raise ValueError("data.root is empty; set it to the folder of the data set.")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"There is no folder '{root}'"
                + did_you_mean_path(root, "set data.root to the folder of the data set")
            )
        if not 0 <= allow_missing <= 1:
            raise ValueError(
                f"data.allow_missing is {allow_missing}; it must be a share from 0 to 1."
            )
        if frame_template is not None:
            check_frame_template(frame_template)
        self._format = None if annotation_format == "auto" else format_named(annotation_format)
        self._named = {"train": train, "val": val, "test": test, "labels": labels}
        self._videos = None if videos is None else self._existing("videos", videos)
        self._fold = fold
        self._allow_missing = allow_missing
        self._frame_template = frame_template
        self._classes: ClassNames | None = None
        self._read: dict[Split, list[Entry]] = {}
        self._sources: dict[Split, AnnotationSource] = {}

    def is_named(self, split: Split) -> bool:
        """Return whether the annotations of a split are given explicitly.

        Args:
            split: The split.
        """
        return self._named[split] is not None

    def label_names(self) -> list[str]:
        """Return the names of all classes, in the order of their indices."""
        return list(self.classes().names)

    def read(self, split: Split) -> VideoList:
        """Read a split and find its videos.

        Args:
            split: The split to read.

        Raises:
            FileNotFoundError: If its annotations, or more of its videos than allowed, cannot be
                found.
            ValueError: If the annotations are malformed, contain an unknown label, or name a file
                outside the video folder.
        """
        source, record, actual = self.source(split)
        entries = self.entries(split)
        actual = entries[0].split or actual
        if actual != split:
            if split == "val":
                sentence = "'%s' has no validation split: the test split is used instead."
            else:
                sentence = "No test split with labels: the validation split '%s' is used instead."
            logger.info(sentence, source)
        classes, are_numbers = self.classes(), not record.labels_are_names
        folder, found = self.located(split)
        present = [(entry, path) for entry, path in zip(entries, found, strict=True) if path]
        absent = [entry for entry, path in zip(entries, found, strict=True) if not path]
        self._account(split, source, folder, entries, absent)
        kept = [entry for entry, _ in present]
        if not record.repeats:
            refuse_repeated((path for _, path in present), kept, source)
        listed = tuple(entry.num_frames for entry in kept if entry.num_frames is not None)
        spans = tuple(entry.span for entry in kept)
        return VideoList(
            str(source),
            str(folder),
            tuple(path for _, path in present),
            classes.indices(kept, source, are_numbers=are_numbers),
            missing=tuple(entry.video for entry in absent),
            missing_labels=classes.indices(absent, source, are_numbers=are_numbers),
            listed_frames=listed,
            frame_template=self._frame_template,
            split=actual,
            spans=spans if any(spans) else (),
        )

    def entries(self, split: Split) -> list[Entry]:
        """Read the annotations of a split, without looking for its videos.

        Args:
            split: The split to read.
        """
        if split not in self._read:
            source, record, _ = self.source(split)
            self._read[split] = read_entries(source, record, split=split, fold=self._fold)
        return self._read[split]

    def replace_entries(self, split: Split, entries: Sequence[Entry]) -> None:
        """Use other entries instead of those in a split's annotations.

        Args:
            split: The split.
            entries: For example the rows of all splits of one table.
        """
        self._read[split] = list(entries)

    def located(self, split: Split) -> Located:
        """Look for the videos of a split on disk.

        Args:
            split: The split.

        Raises:
            ValueError: If a path or a link leads out of the video folder.
        """
        source, record, _ = self.source(split)
        search = Search(source, self.root, self._videos, record.videos)
        return record.locate(search, self.entries(split))

    def classes(self) -> ClassNames:
        """Return the classes, and the labels that annotations may use for them."""
        if self._classes is None:
            self._classes = self._find_class_names()
        return self._classes

    def _find_class_names(self) -> ClassNames:
        named = self._named["labels"]
        source, record, _ = self._first_source()
        place = record.find_labels(self.root) if named is None else self._existing("labels", named)
        if place is not None:
            first_index = record.first_label if place.name in record.labels else 0
            names = read_label_names(place, first_index=first_index)
            return ClassNames(tuple(names), place, is_list=True)
        if record.needs_labels:
            raise FileNotFoundError(
                f"There is no {record.labels[0]} in '{self.root}' or its folder 'labels'; set "
                "data.labels to the file that numbers the templates."
            )
        if record.label_names is not None:
            return ClassNames(tuple(record.label_names(source)), source, is_list=True)
        entries = self.entries("train" if self._has("train") else "val")
        return ClassNames.of_entries(entries, source, are_numbers=not record.labels_are_names)

    def _has(self, split: Split) -> bool:
        try:
            self.source(split)
        except FileNotFoundError:
            if self._named[split] is not None:
                raise
            return False
        return True

    def _first_source(self) -> AnnotationSource:
        """The split whose labels define the classes: training, if it exists."""
        if self._has("train"):
            return self.source("train")
        source = self.source("val")
        logger.warning(
            "There are no training annotations; the classes are taken from '%s'.", source.path
        )
        return source

    def source(self, split: Split) -> AnnotationSource:
        """Return the annotations of a split, and their format.

        Args:
            split: The split to find.

        Raises:
            FileNotFoundError: If they cannot be found.
        """
        if split not in self._sources:
            source = self._find_source(split)
            is_new = all(source.path != known.path for known in self._sources.values())
            self._sources[split] = source
            if self._format is None and is_new:
                logger.info("data.format: '%s' is read as %s.", source.path, source.record.name)
        return self._sources[split]

    def _find_source(self, split: Split) -> AnnotationSource:
        named = self._named[split]
        if named is not None:
            return self._with_format(self._existing(split, named), split)
        for usual in self._formats():
            for path in usual.find(self.root, split, fold=self._fold):
                source = self._with_format(path, split)
                if split != "test" or self._is_labelled(source):
                    return source
        if split == "test":
            return self.source("val")
        raise FileNotFoundError(
            f"There are no annotations of the {split} split in '{self.root}' (looked for "
            f"{self._looked_for(split)}); set data.{split}{self._way_to_splits(split)}."
        )

    def _with_format(self, path: Path, split: Split) -> AnnotationSource:
        record = self._format or detect_format(path)
        stands_in = split == "val" and not record.has_validation
        return AnnotationSource(path, record, "test" if stands_in else split)

    def _formats(self) -> list[DataFormat]:
        return list(FORMATS.values()) if self._format is None else [self._format]

    def _looked_for(self, split: Split) -> str:
        """List the usual places for a message: all of one format, or the first of each."""
        usual = [record.annotation_names(split) for record in self._formats()]
        chosen = usual[0] if len(usual) == 1 else [names[0] for names in usual if names]
        names = (name.format(fold=self._fold) or "the folder itself" for name in chosen)
        return ", ".join(sorted(dict.fromkeys(names), key=len))

    def _way_to_splits(self, split: Split) -> str:
        """Explain how to split videos that have no splits, if there are any."""
        reason = ""
        if split == "val" and self._has("train"):
            path, record, _ = self.source("train")
            # of intervals, the command would list whole videos; it writes train.csv itself
            can_be_split = record.is_anybodys and not record.repeats and path.name != "train.csv"
            if not can_be_split or not path.is_relative_to(self.root):
                return ""
            held_out = f" --data.train {path.relative_to(self.root)}"
            if not record.is_folder:
                reason = f", as '{path.name}' names no val split"
        elif any(_holds_a_video(folder) for folder in self.root.iterdir() if folder.is_dir()):
            held_out = ""
        else:
            return ""
        command = f"`pks4 data split {self.root}{held_out}`"
        return f", or hold out some of the videos with {command}{reason}"

    def _is_labelled(self, source: AnnotationSource) -> bool:
        """Return whether a test split was published with its labels."""
        entries = read_entries(source.path, source.record, split="test", fold=self._fold)
        return entries[0].label is not None

    def _existing(self, key: str, named: str) -> Path:
        path = self.root / Path(named).expanduser()
        if not path.exists():
            here = Path(named).expanduser().absolute()
            end = did_you_mean_path(path)
            if here.exists():
                end = f"; it is relative to data.root: did you mean {here}?"
            raise FileNotFoundError(f"data.{key} names '{path}', which does not exist{end}")
        return path

    def _account(
        self,
        split: Split,
        source: Path,
        folder: Path,
        entries: Sequence[Entry],
        absent: Sequence[Entry],
    ) -> None:
        """Log the missing videos, or refuse them if there are more than allowed."""
        if not absent:
            return
        first = f"'{absent[0].video}' ({absent[0].place}{_other_spelling(folder, absent[0].video)})"
        if len(absent) == len(entries):
            raise FileNotFoundError(
                f"None of the {len(entries)} videos listed in '{source}' is in "
                f"'{self._videos or self.root}', such as {first}; set data.videos "
                "to the folder with the videos."
            )
        share = len(absent) / len(entries)
        counted = (
            f"{len(absent)} of the {len(entries)} videos of '{source}' are not in '{folder}', such "
            f"as {first}"
        )
        if share > self._allow_missing:
            raise FileNotFoundError(
                f"{counted}; train without them with --data.allow_missing {_rounded_up(share)}, or "
                "set data.videos to the folder with the videos."
            )
        if split == "train":
            logger.warning("%s; training continues without them.", counted)
        else:
            logger.warning("%s; they are counted as missing.", counted)


def _holds_a_video(folder: Path) -> bool:
    """Return whether a folder contains a video, at any depth."""
    found = (*islice(folder.glob("*"), _NUM_LOOKED_AT), *islice(folder.glob("*/*"), _NUM_LOOKED_AT))
    return any(path.suffix.lower() in VIDEO_SUFFIXES for path in found)


def _other_spelling(folder: Path, video: str) -> str:
    """Return a hint if the disk has a listed video under another spelling."""
    try:
        found = FolderIndex(folder, forgiving=True).find(video)
    except UnsafePathError:
        found = None
    return f"; the disk has '{found}'" if found else ""


def _rounded_up(share: float) -> float:
    """Round a share up to two digits."""
    return min(1.0, (int(share * 100) + 1) / 100)
