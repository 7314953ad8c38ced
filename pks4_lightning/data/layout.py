"""Where the files of a data set lie: annotations, label names and videos below one root folder."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pks4_lightning.data.annotations import (
    AnnotationFormat,
    Entry,
    VideoList,
    detect_format,
    find_videos,
    label_entries,
    names_from_entries,
    read_entries,
    read_label_names,
)
from pks4_lightning.data.video import VIDEO_SUFFIXES

__all__ = ["DataLayout", "Split", "list_for_prediction"]

logger = logging.getLogger(__name__)

Split: TypeAlias = Literal["train", "val", "test"]

_USUAL_NAMES: dict[AnnotationFormat, dict[str, tuple[str, ...]]] = {
    "ssv2": {
        "train": ("train.json", "something-something-v2-train.json"),
        "val": ("validation.json", "something-something-v2-validation.json"),
        "test": ("test.json", "something-something-v2-test.json"),
        "labels": ("labels.json", "something-something-v2-labels.json"),
    },
    "kinetics": {
        "train": ("train.csv", "kinetics-400_train.csv", "kinetics400_train.csv"),
        "val": (
            "validate.csv",
            "val.csv",
            "validation.csv",
            "kinetics-400_val.csv",
            "kinetics400_val.csv",
        ),
    },
    "list": {
        "train": ("train.txt", "train.csv"),
        "val": ("val.txt", "val.csv", "validation.txt"),
        "test": ("test.txt", "test.csv"),
        "labels": ("labels.txt",),
    },
    "folder": {"train": ("train",), "val": ("val", "validation"), "test": ("test",)},
}
_ANNOTATION_FOLDERS = ("", "labels", "annotations")
_SSV2_FOLDERS = ("20bn-something-something-v2", "videos", "")
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

    Raises:
        FileNotFoundError: If the root, or a file that is named, does not exist.
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
    ) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"There is no folder '{root}'; set data.root to the folder of the data set."
            )
        self._format = annotation_format
        self._named = {"train": train, "val": val, "test": test, "labels": labels}
        self._videos = None if videos is None else self._existing("videos", videos)
        self._label_names: list[str] | None = None

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
            FileNotFoundError: If its annotations or its videos cannot be found.
            ValueError: If the annotations are malformed or hold an unknown label.
        """
        source, annotation_format = self._source(split)
        entries = read_entries(source, annotation_format)
        names = self.label_names()
        if annotation_format == "kinetics":
            return self._kinetics_list(entries, names, source)
        if annotation_format == "folder":
            folder, suffix = source, ""
        elif annotation_format == "ssv2":
            folder, suffix = self._ssv2_folder(entries, source)
        else:
            folder, suffix = self._videos or self.root, ""
            entries = [entry._replace(video=_below(folder, entry, source)) for entry in entries]
        labels = label_entries(entries, names, source)
        paths = tuple(entry.video + suffix for entry in entries)
        videos = VideoList(str(source), str(folder), paths, labels)
        _look_up_some(videos)
        return videos

    def _read_label_names(self) -> list[str]:
        named = self._named["labels"]
        if named is not None:
            return read_label_names(self._existing("labels", named))
        source, annotation_format = self._first_source()
        usual = self._usual_place("labels", annotation_format)
        if usual is not None:
            return read_label_names(usual)
        if annotation_format == "ssv2":
            raise FileNotFoundError(
                f"There is no labels.json in '{self.root}' or its folder 'labels'; set data.labels "
                "to the file that numbers the templates."
            )
        return names_from_entries(read_entries(source, annotation_format))

    def _first_source(self) -> tuple[Path, AnnotationFormat]:
        """The split whose labels define the classes: training, if it is there."""
        try:
            return self._source("train")
        except FileNotFoundError:
            if self._named["train"] is not None:
                raise
        source = self._source("val")
        logger.warning("No training annotations: the classes are those of '%s'.", source[0])
        return source

    def _source(self, split: Split) -> tuple[Path, AnnotationFormat]:
        """Return a split's annotation file or folder, and its format."""
        named = self._named[split]
        if named is not None:
            return self._with_format(self._existing(split, named))
        formats = tuple(_USUAL_NAMES) if self._format == "auto" else (self._format,)
        for annotation_format in formats:
            if (source := self._usual_place(split, annotation_format)) is not None:
                return self._with_format(source)
        if split == "test":
            return self._source("val")
        usual = [name for form in formats for name in _USUAL_NAMES[form].get(split, ())]
        raise FileNotFoundError(
            f"No annotations of the {split} split in '{self.root}' (looked for "
            f"{', '.join(usual)}); set data.{split}."
        )

    def _usual_place(self, key: str, annotation_format: AnnotationFormat) -> Path | None:
        """Look for a split's annotations, or the label names, where the archives put them."""
        for name in _USUAL_NAMES[annotation_format].get(key, ()):
            for folder in _ANNOTATION_FOLDERS:
                path = self.root / folder / name
                if not (path.is_dir() if annotation_format == "folder" else path.is_file()):
                    continue
                unlabelled = (
                    key == "test" and read_entries(path, annotation_format)[0].label is None
                )
                if not unlabelled:
                    return path
        return None

    def _with_format(self, source: Path) -> tuple[Path, AnnotationFormat]:
        return source, detect_format(source) if self._format == "auto" else self._format

    def _existing(self, key: str, named: str) -> Path:
        path = self.root / Path(named).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"data.{key} names '{path}', which does not exist.")
        return path

    def _ssv2_folder(self, entries: Sequence[Entry], source: Path) -> tuple[Path, str]:
        """Find the folder and the suffix with which the first videos' files exist."""
        if self._videos is not None:
            folders = [self._videos]
        else:
            folders = [self.root / name for name in _SSV2_FOLDERS]
            folders += sorted(path for path in self.root.iterdir() if path.is_dir())
        for entry in entries[:3]:
            for folder in folders:
                for suffix in (".webm", *sorted(VIDEO_SUFFIXES)):
                    if (folder / (entry.video + suffix)).is_file():
                        return folder, suffix
        raise FileNotFoundError(
            f"No video '{entries[0].video}.webm', the first one of '{source}', in "
            f"'{self._videos or self.root}'; set data.videos to the folder with the videos."
        )

    def _kinetics_list(
        self, entries: Sequence[Entry], names: Sequence[str], source: Path
    ) -> VideoList:
        """Match rows and files; many of Kinetics' videos can no longer be had."""
        folder = self._videos or self.root
        files: dict[str, str] = {}
        for path in find_videos(folder):
            files.setdefault(os.path.splitext(os.path.basename(path))[0], path)  # noqa: PTH119, PTH122 - 300,000 paths
        found: list[Entry] = []
        paths: list[str] = []
        missing: list[str] = []
        for entry in entries:
            file = files.get(entry.video) or files.get(entry.video.rsplit("_", 2)[0])
            if file is None:
                missing.append(entry.video)
            else:
                found.append(entry)
                paths.append(file)
        if not found:
            raise FileNotFoundError(
                f"None of the {len(entries)} videos of '{source}' is in '{folder}', such as "
                f"'{missing[0]}.mp4'; set data.videos to the folder with the videos."
            )
        if missing:
            logger.warning(
                "%d of the %d videos of '%s' are not in '%s', such as '%s.mp4'.",
                len(missing), len(entries), source, folder, missing[0],
            )  # fmt: skip
        labels = label_entries(found, names, source)
        return VideoList(str(source), str(folder), tuple(paths), labels, tuple(missing))


def list_for_prediction(target: str) -> VideoList:
    """List videos without labels.

    Args:
        target: A video file; a folder, searched at any depth; or a text file with a path per line,
            absolute or relative to that file.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it holds no videos.
    """
    path = Path(target).expanduser()
    if path.is_dir():
        folder, paths = path, find_videos(path)
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
    videos = VideoList(str(path), str(folder), tuple(paths), (-1,) * len(paths))
    _look_up_some(videos)
    return videos


def _below(folder: Path, entry: Entry, source: Path) -> str:
    """Return a listed path relative to the videos' folder; refuse one that leaves it."""
    root = os.path.abspath(folder)  # noqa: PTH100 - links stay as they are
    path = os.path.normpath(os.path.join(root, entry.video))  # noqa: PTH118 - same
    if not path.startswith(root.rstrip("/") + "/") or "\0" in path:
        raise ValueError(
            f"'{source}' names '{entry.video}' at {entry.place}, outside of '{folder}'; set "
            "data.videos to a folder that holds all videos."
        )
    return os.path.relpath(path, root)


def _look_up_some(videos: VideoList) -> None:
    """Look whether videos exist: the first, and some spread over the list (disks may be slow)."""
    step = max(1, len(videos) // _NUM_LOOKED_UP)
    looked_up = range(0, len(videos), step)
    absent = [videos.path(index) for index in looked_up if not Path(videos.path(index)).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(looked_up)} videos looked up in '{videos.source}' do not exist,"
            f" such as '{absent[0]}'; set data.videos to the folder with the videos."
        )
