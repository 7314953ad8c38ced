"""Annotations that are folders: a folder per class, HMDB-51's split files, Breakfast's cameras."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pks4_lightning.data.annotations.formats.entry import Entry, Split, read_lines, relative_path
from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES

__all__ = [
    "BREAKFAST_FOLDS",
    "find_clips",
    "find_videos",
    "is_breakfast",
    "read_breakfast",
    "read_folder",
    "read_hmdb51",
]

logger = logging.getLogger(__name__)

BREAKFAST_FOLDS = {1: range(3, 16), 2: range(16, 29), 3: range(29, 42), 4: range(42, 55)}
"""Persons tested on, s1 to s4 of Kuehne, Arslan and Serre, CVPR 2014; the others train."""

_BREAKFAST_VIDEO = re.compile(r"P(\d\d)_([a-z]+)(?:_ch([01]))?\.\w+")
# what the second value of a line says; 0 is a video that this split leaves out
_HMDB51_CODES: dict[Split, str] = {"train": "1", "val": "2", "test": "2"}


def find_videos(folder: Path) -> list[str]:
    """List the video files below a folder, at any depth, sorted, relative to it."""
    return sorted(path for path, is_file in _walk(folder) if is_file)


def find_clips(folder: Path) -> list[str]:
    """List the video files and the folders of pictures below a folder, sorted, relative to it.

    Args:
        folder: Searched at any depth, through links. Pictures beside videos are ignored.
    """
    return sorted(path for path, _ in _walk(folder))


def read_folder(source: Path) -> list[Entry]:
    """Read a folder of class folders that hold videos, or folders of pictures, at any depth.

    Args:
        source: The folder of a split.

    Raises:
        ValueError: If a video lies beside the class folders.
    """
    if not source.is_dir():
        raise ValueError(f"'{source}' is not a folder of class folders.")
    entries = []
    for video in find_clips(source):
        label, _, rest = video.partition("/")
        is_file = Path(video).suffix.lower() in VIDEO_SUFFIXES
        if not rest and is_file:
            raise ValueError(f"'{source}' holds the video '{video}' beside its class folders; "
                             "every video must lie in the folder of its class.")  # fmt: skip
        if not rest:
            raise ValueError(f"'{source}' holds pictures in '{video}' and no folders there; the "
                             "pictures of a video lie in CLASS/VIDEO/.")  # fmt: skip
        entries.append(Entry(video, label, f"'{video}'"))
    return entries


def read_hmdb51(source: Path, split: Split, fold: int) -> list[Entry]:
    """Read HMDB-51's split files, ``CLASS_test_split1.txt`` with lines of ``video.avi code``.

    Args:
        source: Their folder.
        split: 1 in the files is training, 2 is testing, 0 is neither.
        fold: Which of the three splits.

    Raises:
        ValueError: If the files of that split are absent, or a line reads otherwise.
    """
    ending = f"_test_split{fold}.txt"
    files = sorted(path for path in source.iterdir() if path.name.endswith(ending))
    if not files:
        raise ValueError(f"'{source}' holds no files 'CLASS{ending}'; data.fold is 1, 2 or 3.")
    entries = []
    for file in files:
        label = file.name.removesuffix(ending)
        for number, line in read_lines(file):
            name, code = [*line.rsplit(maxsplit=1), ""][:2]
            place = f"line {number} of '{file.name}'"
            if code not in ("0", "1", "2"):
                raise ValueError(f"'{source}' reads '{line[:80]}' at {place}; HMDB-51's files "
                                 "read 'video.avi 1', where 0 and 2 may stand for 1.")  # fmt: skip
            if code == _HMDB51_CODES[split]:
                video = relative_path(f"{label}/{name}", source, place)
                entries.append(Entry(video, label, place))
    return entries


def is_breakfast(folder: Path) -> bool:
    """Tell whether a folder is laid out as Breakfast's archive: ``P03/cam01/P03_cereals.avi``."""
    persons = [path for path in folder.iterdir() if re.fullmatch(r"P\d\d", path.name)]
    return any(
        _BREAKFAST_VIDEO.fullmatch(path.name) for path in sorted(persons)[:1]
        for path in path.glob("*/*")
    )  # fmt: skip


def read_breakfast(source: Path, split: Split, fold: int) -> list[Entry]:
    """Read Breakfast's folders; the activity is in the file's name, the person splits the data.

    The stereo camera left two channels of some recordings; the first one there is, is taken.

    Args:
        source: The folder of ``P03`` to ``P54``.
        split: Persons of the fold are tested, and validated, on.
        fold: 1 to 4.

    Raises:
        ValueError: If there is no such fold.
    """
    if fold not in BREAKFAST_FOLDS:
        raise ValueError(f"data.fold is {fold}; Breakfast's splits are 1 to 4.")
    entries: dict[tuple[str, str], Entry] = {}
    others = []
    for video in find_videos(source):
        folder, _, name = video.rpartition("/")
        match = _BREAKFAST_VIDEO.fullmatch(name)
        if match is None:
            others.append(video)
            continue
        tested = int(match[1]) in BREAKFAST_FOLDS[fold]
        if tested == (split != "train"):
            recording = (folder, f"{match[1]}_{match[2]}")
            entries.setdefault(recording, Entry(video, match[2], f"'{video}'"))
    if others:
        logger.warning(
            "%d videos in '%s' are not named as Breakfast's, such as '%s'; they are left out.",
            len(others), source, others[0],
        )  # fmt: skip
    return list(entries.values())


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield videos below a folder, and whether they are files rather than folders of pictures."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _leads_back(parent, name)]
        below = Path(parent).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        shown = [name for name in names if not name.startswith(".")]
        suffixes = [os.path.splitext(name)[1].lower() for name in shown]  # noqa: PTH122 - millions
        videos = [
            (prefix + name, True)
            for name, suffix in zip(shown, suffixes, strict=True)
            if suffix in VIDEO_SUFFIXES
        ]
        yield from videos
        if prefix and not videos and not PICTURE_SUFFIXES.isdisjoint(suffixes):
            yield below, False


def _leads_back(parent: str, name: str) -> bool:
    """Tell whether a folder is a link to one that it lies in, in which a walk would never end."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())
