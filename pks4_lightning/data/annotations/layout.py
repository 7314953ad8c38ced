"""Where the files of a data set lie: annotations, label names and videos below one root folder."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pks4_lightning.data.annotations.archive_layouts import (
    FILES_OF_ALL_SPLITS,
    FOLDER_FORMATS,
    PLACES,
)
from pks4_lightning.data.annotations.file_lookup import by_stem, fullest_folder
from pks4_lightning.data.annotations.formats.entry import Entry, Split, relative_path, shortened
from pks4_lightning.data.annotations.formats.folders import find_clips
from pks4_lightning.data.annotations.formats.json_files import coin_label_names
from pks4_lightning.data.annotations.formats.tables import has_split_column
from pks4_lightning.data.annotations.labels import (
    label_entries,
    names_from_entries,
    read_label_names,
)
from pks4_lightning.data.annotations.paths import UnsafePathError
from pks4_lightning.data.annotations.reading import (
    AnnotationFormat,
    VideoList,
    detect_format,
    read_entries,
)
from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES, check_frame_template

__all__ = ["DataLayout", "Split", "list_for_prediction"]

logger = logging.getLogger(__name__)

_WITHOUT_VALIDATION = frozenset({"ucf101", "hmdb51", "diving48", "breakfast", "coin"})
_NUM_LOOKED_UP = 64


class DataLayout:
    """Finds and reads what is not named, in the places where the data sets' archives put it.

    Args:
        root: Folder that everything else is relative to.
        annotation_format: ``auto`` tells it by the files.
        train: Annotations of the training split, or the folder of its class folders.
        val: The same for validation.
        test: The same for testing. Where it is neither named nor found, or found without labels as
            Something-Something publishes it, the validation split: papers report on that.
        labels: Names of all classes. Without it, those of the training split, sorted.
        videos: Folder with the videos.
        fold: Which of the official splits of UCF-101 and HMDB-51 (1 to 3) or Breakfast (1 to 4).
        allow_missing: Share of a split's listed videos that may be absent from the disk.
        frame_template: Name of the pictures, where videos are folders of them.

    Raises:
        FileNotFoundError: If the root, or a file that is named, does not exist.
        ValueError: If ``allow_missing`` is no share, or ``frame_template`` no name of pictures.
    """

    def __init__(
        self,
        root: str,
        *,
        annotation_format: AnnotationFormat | Literal["auto"] = "auto",
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        labels: str | None = None,
        videos: str | None = None,
        fold: int = 1,
        allow_missing: float = 0.01,
        frame_template: str | None = None,
    ) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"There is no folder '{root}'; set data.root to the folder of the data set."
            )
        if not 0 <= allow_missing <= 1:
            raise ValueError(f"data.allow_missing is {allow_missing}; it is a share from 0 to 1.")
        if frame_template is not None:
            check_frame_template(frame_template)
        self._format = annotation_format
        self._named = {"train": train, "val": val, "test": test, "labels": labels}
        self._videos = None if videos is None else self._existing("videos", videos)
        self._fold = fold
        self._allow_missing = allow_missing
        self._frame_template = frame_template
        self._label_names: list[str] | None = None
        self._read: dict[str, list[Entry]] = {}
        self._sources: dict[str, tuple[Path, AnnotationFormat]] = {}

    def label_names(self) -> list[str]:
        """Return the names of all classes, in the order of their indices."""
        if self._label_names is None:
            self._label_names = self._read_label_names()
        return self._label_names

    def read(self, split: Split) -> VideoList:
        """Read a split and find its videos.

        Args:
            split: Which one.

        Raises:
            FileNotFoundError: If its annotations, or more of its videos than allowed, cannot be
                found.
            ValueError: If the annotations are malformed, hold an unknown label, or name a file
                outside of the videos' folder.
        """
        source, annotation_format = self._source(split)
        if split == "val" and annotation_format in _WITHOUT_VALIDATION:
            logger.info("'%s' has no validation split: the test split stands in for it.", source)
        entries = self._entries(split)
        names = self.label_names()
        folder, found = self._locate(entries, source, annotation_format)
        present = [(entry, path) for entry, path in zip(entries, found, strict=True) if path]
        absent = [entry for entry, path in zip(entries, found, strict=True) if not path]
        self._account(split, source, folder, entries, absent)
        kept = [entry for entry, _ in present]
        listed = tuple(entry.num_frames for entry in kept if entry.num_frames is not None)
        return VideoList(
            str(source),
            str(folder),
            tuple(path for _, path in present),
            label_entries(kept, names, source),
            missing=tuple(entry.video for entry in absent),
            missing_labels=label_entries(absent, names, source),
            listed_frames=listed,
            frame_template=self._frame_template,
        )

    def _entries(self, split: Split) -> list[Entry]:
        if split not in self._read:
            source, annotation_format = self._source(split)
            self._read[split] = read_entries(
                source, annotation_format, split=split, fold=self._fold
            )
        return self._read[split]

    def _read_label_names(self) -> list[str]:
        named = self._named["labels"]
        source, annotation_format = self._first_source()
        first_index = int(annotation_format == "ucf101")
        place = (
            self._usual_place("labels", annotation_format)
            if named is None
            else self._existing("labels", named)
        )
        if place is not None:
            counts_from_one = place.name == "classInd.txt"
            return read_label_names(place, first_index=first_index * counts_from_one)
        if annotation_format == "ssv2":
            raise FileNotFoundError(
                f"There is no labels.json in '{self.root}' or its folder 'labels'; set data.labels "
                "to the file that numbers the templates."
            )
        if annotation_format == "coin":
            return coin_label_names(source)
        first: Split = "train" if self._has("train") else "val"
        return names_from_entries(self._entries(first))

    def _has(self, split: Split) -> bool:
        try:
            self._source(split)
        except FileNotFoundError:
            if self._named[split] is not None:
                raise
            return False
        return True

    def _first_source(self) -> tuple[Path, AnnotationFormat]:
        """The split whose labels define the classes: training, if it is there."""
        if self._has("train"):
            return self._source("train")
        source = self._source("val")
        logger.warning("No training annotations: the classes are those of '%s'.", source[0])
        return source

    def _source(self, split: Split) -> tuple[Path, AnnotationFormat]:
        """Return a split's annotation file or folder, and its format."""
        if split not in self._sources:
            source, annotation_format = self._find_source(split)
            if self._format == "auto":
                logger.info("data.format: '%s' is read as %s.", source, annotation_format)
            self._sources[split] = source, annotation_format
        return self._sources[split]

    def _find_source(self, split: Split) -> tuple[Path, AnnotationFormat]:
        named = self._named[split]
        if named is not None:
            return self._with_format(self._existing(split, named))
        formats = tuple(PLACES) if self._format == "auto" else (self._format,)
        for annotation_format in formats:
            if (source := self._usual_place(split, annotation_format)) is not None:
                return self._with_format(source)
        if split == "test":
            return self._source("val")
        raise FileNotFoundError(
            f"No annotations of the {split} split in '{self.root}' (looked for "
            f"{self._looked_for(split, formats)}); set data.{split}."
        )

    def _looked_for(self, split: Split, formats: Sequence[AnnotationFormat]) -> str:
        """Name the usual places, for a message: all of one format, or the first of each."""
        usual = [PLACES[form].splits.get(split, ()) for form in formats]
        chosen = usual[0] if len(formats) == 1 else tuple(names[0] for names in usual if names)
        names = (name.format(fold=self._fold) or "the folder itself" for name in chosen)
        return ", ".join(dict.fromkeys(names))

    def _usual_place(
        self, key: Split | Literal["labels"], annotation_format: AnnotationFormat
    ) -> Path | None:
        """Look for a split's annotations, or the label names, where the archives put them."""
        places = PLACES[annotation_format]
        names = places.labels if key == "labels" else places.splits.get(key, ())
        for name in names:
            for folder in places.folders:
                path = self.root / folder / name.format(fold=self._fold)
                if key == "labels" or annotation_format not in FOLDER_FORMATS:
                    fits = path.is_file() and (
                        key == "train" or name not in FILES_OF_ALL_SPLITS or has_split_column(path)
                    )
                else:
                    fits = path.is_dir() and (
                        annotation_format == "folder" or detect_format(path) == annotation_format
                    )
                if fits and not (key == "test" and self._is_unlabelled(path, annotation_format)):
                    return path
        return None

    def _is_unlabelled(self, source: Path, annotation_format: AnnotationFormat) -> bool:
        """Tell whether a test split was published without its labels."""
        if self._format == "auto":
            annotation_format = detect_format(source)
        entries = read_entries(source, annotation_format, split="test", fold=self._fold)
        return entries[0].label is None

    def _with_format(self, source: Path) -> tuple[Path, AnnotationFormat]:
        return source, detect_format(source) if self._format == "auto" else self._format

    def _existing(self, key: str, named: str) -> Path:
        path = self.root / Path(named).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"data.{key} names '{path}', which does not exist.")
        return path

    def _locate(
        self, entries: Sequence[Entry], source: Path, annotation_format: AnnotationFormat
    ) -> tuple[Path, list[str | None]]:
        """Return the folder of the videos, and where each of them is below it, if it is there."""
        if annotation_format in ("folder", "breakfast"):
            return source, [entry.video for entry in entries]
        if annotation_format in ("kinetics", "coin"):
            return self._locate_by_name(entries, annotation_format)
        if self._videos is not None:
            candidates = [self._videos]
        else:
            candidates = [self.root / name for name in PLACES[annotation_format].videos]
            if annotation_format not in ("csv", "list", "frames"):
                candidates += sorted(path for path in self.root.iterdir() if path.is_dir())
        plain = annotation_format in ("csv", "list", "frames")
        listed = [_below(candidates[0], entry, source) if plain else entry.video
                  for entry in entries]  # fmt: skip
        try:
            index = fullest_folder(candidates, listed, forgiving=not plain)
            return index.folder, [index.find(video) for video in listed]
        except UnsafePathError as error:
            raise ValueError(
                f"'{source}' names '{shortened(error.path)}', which {error.reason}; set "
                "data.videos to a folder that holds all videos."
            ) from None

    def _locate_by_name(
        self, entries: Sequence[Entry], annotation_format: AnnotationFormat
    ) -> tuple[Path, list[str | None]]:
        """Match entries and files by name, wherever the files lie."""
        usual = (self.root / name for name in PLACES[annotation_format].videos)
        folder = self._videos or next(path for path in usual if path.is_dir())
        files = by_stem(find_clips(folder))
        if annotation_format == "coin":
            return folder, [files.get(entry.video) for entry in entries]
        # a file named by the YouTube video alone is this clip only if no other clip is of it
        clips_of = Counter(entry.video.rsplit("_", 2)[0] for entry in entries)
        found = []
        for entry in entries:
            video, start, end = entry.video.rsplit("_", 2)
            unpadded = f"{video}_{int(start)}_{int(end)}"
            alone = files.get(video) if clips_of[video] == 1 else None
            found.append(files.get(entry.video) or files.get(unpadded) or alone)
        return folder, found

    def _account(
        self,
        split: Split,
        source: Path,
        folder: Path,
        entries: Sequence[Entry],
        absent: Sequence[Entry],
    ) -> None:
        """Say what is missing, or refuse it if it is more than allowed."""
        if not absent:
            return
        first = f"'{absent[0].video}' ({absent[0].place})"
        if len(absent) == len(entries):
            raise FileNotFoundError(
                f"None of the {len(entries)} videos of '{source}' is in "
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
                f"{counted}; go on without them by --data.allow_missing {_rounded_up(share)}, or "
                "set data.videos to the folder with the videos."
            )
        if split == "train":
            logger.warning("%s; training goes on without them.", counted)
        else:
            logger.warning("%s; they are counted as missing.", counted)


def list_for_prediction(target: str, *, frame_template: str | None = None) -> VideoList:
    """List videos without labels.

    Args:
        target: A video file; a folder, searched at any depth; a folder of pictures; or a text file
            with a path per line, absolute or relative to that file.
        frame_template: Name of the pictures, where videos are folders of them.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it holds no videos.
    """
    path = Path(target).expanduser()
    if path.is_dir():
        folder, paths = path, find_clips(path)
        if not paths and any(file.suffix.lower() in PICTURE_SUFFIXES for file in path.iterdir()):
            folder, paths = path.parent, [path.name]
    elif not path.is_file():
        raise FileNotFoundError(f"data.predict names '{target}', which does not exist.")
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        folder, paths = path.parent, [path.name]
    else:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise ValueError(
                f"data.predict names '{target}', which is neither a video "
                f"({', '.join(sorted(VIDEO_SUFFIXES))}) nor a list of paths."
            ) from None
        folder, paths = path.parent, [line.strip() for line in lines if line.strip()]
    if not paths:
        raise ValueError(f"data.predict names '{target}', which holds no videos.")
    videos = VideoList(
        str(path), str(folder), tuple(paths), (-1,) * len(paths), frame_template=frame_template
    )
    _look_up_some(videos)
    return videos


def _below(folder: Path, entry: Entry, source: Path) -> str:
    """Return a listed path relative to the videos' folder; refuse one that leaves it."""
    video = entry.video
    if os.path.isabs(video):  # noqa: PTH117 - links stay as they are
        root = os.path.abspath(folder).rstrip("/") + "/"  # noqa: PTH100 - same
        path = os.path.normpath(video)
        if not path.startswith(root):
            raise ValueError(
                f"'{source}' names '{shortened(video)}' at {entry.place}, outside of '{folder}'; "
                "set data.videos to a folder that holds all videos."
            )
        video = path.removeprefix(root)
    return os.path.normpath(relative_path(video, source, entry.place))


def _look_up_some(videos: VideoList) -> None:
    """Look whether videos exist: the first, and some spread over the list (disks may be slow)."""
    step = max(1, len(videos) // _NUM_LOOKED_UP)
    looked_up = range(0, len(videos), step)
    absent = [videos.path(index) for index in looked_up if not Path(videos.path(index)).exists()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(looked_up)} videos looked up in '{videos.source}' do not exist,"
            f" such as '{absent[0]}'; correct the list."
        )


def _rounded_up(share: float) -> float:
    """A share with two digits, not below it."""
    return min(1.0, (int(share * 100) + 1) / 100)
