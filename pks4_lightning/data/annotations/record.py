"""The description of a data set: one record per value of ``data.format``.

A record defines how annotations are read and recognised, where the authors' archives put them, and
how they name the videos. :mod:`pks4_lightning.data.annotations.formats` has one file per data set;
:data:`pks4_lightning.data.annotations.reading.FORMATS` lists the records.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pks4_lightning.batch import Split
from pks4_lightning.data.annotations.entry import Entry, read_lines, read_text
from pks4_lightning.data.annotations.locating import Locate, by_path

__all__ = ["DataFormat", "Part", "Published", "Sniffed"]

_BEGINNING = 4096


class Part(NamedTuple):
    """The part of some annotations that is to be read."""

    source: Path
    """A file or a folder."""
    split: Split = "train"
    """The split to read, if the source contains several."""
    fold: int = 1
    """The official split to use, if the source contains several."""


@dataclass(frozen=True)
class Sniffed:
    """A file or folder that is inspected to detect its format.

    Args:
        path: The file or folder.
    """

    path: Path

    @cached_property
    def is_json(self) -> bool:
        """Whether it is a file with the suffix of JSON."""
        return not self.path.is_dir() and self.path.suffix.lower() == ".json"

    @cached_property
    def beginning(self) -> str:
        """The beginning of the file; empty for a folder."""
        return "" if self.path.is_dir() else read_text(self.path)[:_BEGINNING]

    @cached_property
    def first_line(self) -> str:
        """The first line of the file that is not blank; empty for a folder."""
        lines = [] if self.path.is_dir() else read_lines(self.path)
        return next((line for _, line in lines if not line.startswith("#")), "")


@dataclass(frozen=True)
class Published:
    """The numbers published by the authors of a data set.

    Args:
        name: Name of the data set.
        num_classes: Number of classes.
        counts: Videos per split. A labelled test split of a data set without a validation split
            counts as validation.
        exact: False if the videos are links, some of which are missing in every copy.
    """

    name: str
    num_classes: int
    counts: Mapping[Split, int]
    exact: bool = True


@dataclass(frozen=True, kw_only=True)
class DataFormat:
    """One data set, or one family of data sets with the same layout.

    File and folder names are tried in order; ``{fold}`` stands for the number of an official
    split.

    Args:
        name: The value of ``data.format``.
        read: Reads the annotations of a split.
        recognises: Recognises a file or folder of this format. It is called only after the
            preceding records have declined.
        splits: Usual names of the annotations, below one of ``folders``. Without ``val``, the test
            split is used for validation; without ``test``, validation is used for testing.
        folders: Folders below the root with annotations and class names.
        is_folder: Whether the annotations are a folder rather than a file.
        serves: Whether a file with a usual name contains a split.
        repeats: Whether a video may be listed more than once, under different labels.
        labels: Usual names of the list of class names.
        needs_labels: Whether the order of the classes is undefined without that list.
        first_label: The first index in that list.
        label_names: Reads the class names from the annotations; ``None`` uses the sorted training
            labels.
        labels_are_names: Whether a label of digits is a name, as it is for a folder. Otherwise it
            may be a class number.
        videos: Usual folders of the videos, below the root.
        locate: Finds the listed videos on disk.
        published: The published data sets in this format.
        is_anybodys: Whether users' own lists may have this format, for any data set.
    """

    name: str
    read: Callable[[Part], list[Entry]]
    recognises: Callable[[Sniffed], bool]
    splits: Mapping[Split, tuple[str, ...]]
    folders: tuple[str, ...] = ("", "labels", "annotations")
    is_folder: bool = False
    serves: Callable[[Path, Split], bool] = lambda _path, _split: True
    repeats: bool = False
    labels: tuple[str, ...] = ()
    needs_labels: bool = False
    first_label: int = 0
    label_names: Callable[[Path], list[str]] | None = None
    labels_are_names: bool = False
    videos: tuple[str, ...] = ("",)
    locate: Locate = by_path
    published: tuple[Published, ...] = ()
    is_anybodys: bool = False

    @property
    def has_validation(self) -> bool:
        """Whether the data set has a validation split."""
        return "val" in self.splits

    def annotation_names(self, split: Split) -> tuple[str, ...]:
        """Return the usual names of a split's annotations.

        Args:
            split: The split; if there is no validation split, it stands for the test split.
        """
        stands_in = split == "val" and not self.has_validation
        return self.splits.get("test" if stands_in else split, ())

    def find(self, root: Path, split: Split, *, fold: int) -> Iterator[Path]:
        """Yield possible annotations of a split, where the archives put them.

        Args:
            root: Folder of the data set.
            split: The split.
            fold: The official split to use.
        """
        for path in self._paths(root, self.annotation_names(split), fold=fold):
            if self.is_folder:
                fits = path.is_dir() and self.recognises(Sniffed(path))
            else:
                fits = path.is_file() and self.serves(path, split)
            if fits:
                yield path

    def find_labels(self, root: Path) -> Path | None:
        """Look for the list of class names where the archives put it.

        Args:
            root: Folder of the data set.
        """
        return next((path for path in self._paths(root, self.labels) if path.is_file()), None)

    def _paths(self, root: Path, names: tuple[str, ...], *, fold: int = 1) -> list[Path]:
        return [root / folder / name.format(fold=fold) for name in names for folder in self.folders]
