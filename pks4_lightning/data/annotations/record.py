"""What the package knows of a data set: one record per value of ``data.format``.

A record says how the annotations are read and recognised, where the authors' archives put them, and
how they name their videos. :mod:`pks4_lightning.data.annotations.formats` holds a file per data
set, :data:`pks4_lightning.data.annotations.reading.FORMATS` lists the records.
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
    """What to read of some annotations."""

    source: Path
    """File or folder."""
    split: Split = "train"
    """Where the source holds several."""
    fold: int = 1
    """Which of the official splits, where the source holds several."""


@dataclass(frozen=True)
class Sniffed:
    """A file or folder that may hold annotations, looked at to tell its format.

    Args:
        path: The file or folder.
    """

    path: Path

    @cached_property
    def is_json(self) -> bool:
        """Whether this is a file named as JSON."""
        return not self.path.is_dir() and self.path.suffix.lower() == ".json"

    @cached_property
    def beginning(self) -> str:
        """The first characters of the file; empty for a folder."""
        return "" if self.path.is_dir() else read_text(self.path)[:_BEGINNING]

    @cached_property
    def first_line(self) -> str:
        """The first line of the file that says something; empty for a folder."""
        lines = [] if self.path.is_dir() else read_lines(self.path)
        return next((line for _, line in lines if not line.startswith("#")), "")


@dataclass(frozen=True)
class Published:
    """The numbers that a data set's authors publish.

    Args:
        name: Of the data set.
        num_classes: Its classes.
        counts: Videos per split. A test split with labels, where there is no validation split,
            counts as the latter.
        exact: False where the videos are links, of which every copy has lost some.
    """

    name: str
    num_classes: int
    counts: Mapping[Split, int]
    exact: bool = True


@dataclass(frozen=True, kw_only=True)
class DataFormat:
    """One data set, or one family of data sets with the same layout.

    Names of files and folders are tried in their order; ``{fold}`` stands for the number of an
    official split.

    Args:
        name: The value of ``data.format``.
        read: Reads a split's annotations.
        recognises: Tells by a look at a file or folder that it is of this format. The records
            before this one have been asked already.
        splits: Usual names of the annotations, below one of ``folders``. Without ``val`` the test
            split serves for validation; without ``test`` it is the other way round.
        folders: Where annotations and class names lie, below the root.
        is_folder: Whether the annotations are a folder, not a file.
        serves: Whether a file of a usual name serves for a split.
        repeats: Whether a video may be listed more than once, under different labels.
        labels: Usual names of the list of class names.
        needs_labels: Whether there is no order of the classes without that list.
        first_label: What that list counts from.
        label_names: Reads the class names from the annotations; ``None`` takes the training
            labels, sorted.
        labels_are_names: Whether a label of digits is a name, as that of a folder is. Elsewhere it
            may be the number of a class.
        videos: Usual folders of the videos, below the root.
        locate: Finds the listed videos on disk.
        has_test_labels: Whether the authors publish the labels of the test split.
        published: The data sets of this format, as published.
        is_anybodys: Whether it suits lists of one's own, which may be of any data set.
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
    has_test_labels: bool = True
    published: tuple[Published, ...] = ()
    is_anybodys: bool = False

    @property
    def has_validation(self) -> bool:
        """Whether the data set has a validation split."""
        return "val" in self.splits

    def annotation_names(self, split: Split) -> tuple[str, ...]:
        """Return the usual names of a split's annotations.

        Args:
            split: Which one; the validation split is the test split where there is no other.
        """
        stands_in = split == "val" and not self.has_validation
        return self.splits.get("test" if stands_in else split, ())

    def find(self, root: Path, split: Split, *, fold: int) -> Iterator[Path]:
        """Yield what may be a split's annotations, where the archives put them.

        Args:
            root: Folder of the data set.
            split: Which split.
            fold: Which of the official splits.
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
