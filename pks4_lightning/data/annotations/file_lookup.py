"""Which of the listed videos are on disk: every folder is listed once, no file is looked at alone.

A split has hundreds of thousands of files on a disk that may be slow, and all of them have to be
accounted for before a training begins.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pks4_lightning.data.annotations.paths import UnsafePathError, file_inside
from pks4_lightning.data.video.container import VIDEO_SUFFIXES

__all__ = ["FolderIndex", "by_stem", "fullest_folder"]

_NUM_LOOKED_UP = 64


class _Listing(NamedTuple):
    files: Mapping[str, bool]
    """By name: True for what may lead elsewhere, a link or neither file nor folder."""
    folders: Mapping[str, bool]
    stems: Mapping[str, str]
    """Names of videos by what they are without suffix and case."""


class FolderIndex:
    """Finds listed videos below a folder.

    Args:
        folder: What the listed paths are relative to; it may itself be a link.
        forgiving: Find a video under another suffix or in another case as well: published data
            sets are passed on converted, and UCF-101's own folders and files differ in case. A
            video that is listed without a suffix is found in any case.
    """

    def __init__(self, folder: Path, *, forgiving: bool = False) -> None:
        self.folder = folder
        self._forgiving = forgiving
        self._real = folder.resolve()
        self._listings: dict[str, _Listing] = {}

    def find(self, video: str) -> str | None:
        """Return where a video is, relative to the folder, or ``None`` if it is not there.

        Args:
            video: As listed: a file, with or without its suffix, or a folder of pictures.

        Raises:
            UnsafePathError: If links lead out of the folder, or it is a device or a pipe.
        """
        parent, _, name = video.rpartition("/")
        parent = self._spelled(parent)
        listing = self._listing(parent)
        below = f"{parent}/" if parent else ""
        if name in listing.files:
            return self._checked(below + name, listing.files[name])
        if name in listing.folders:
            if listing.folders[name]:
                self._check_folder(below + name)
            return below + name
        stem = _stem(name)
        found = listing.stems.get(stem.casefold())
        if found is None or not (self._forgiving or (stem == name and _stem(found) == name)):
            return None
        return self._checked(below + found, listing.files[found])

    def _checked(self, path: str, is_link: bool) -> str:
        if is_link:
            try:
                file_inside(self.folder, path)
            except FileNotFoundError:
                raise UnsafePathError(path, "is a link that leads nowhere") from None
        return path

    def _check_folder(self, below: str) -> None:
        real = (self.folder / below).resolve()
        if not real.is_relative_to(self._real):
            raise UnsafePathError(below, f"leads out of '{self.folder}', to '{real}'")

    def _spelled(self, folder: str) -> str:
        """Return a folder as the disk spells it."""
        if not folder or not self._forgiving:
            return folder
        parent, _, name = folder.rpartition("/")
        parent = self._spelled(parent)
        folders = self._listing(parent).folders
        if name not in folders:
            name = next((other for other in folders if other.casefold() == name.casefold()), name)
        return f"{parent}/{name}" if parent else name

    def _listing(self, below: str) -> _Listing:
        if below not in self._listings:
            self._listings[below] = self._list(below)
        return self._listings[below]

    def _list(self, below: str) -> _Listing:
        path = self.folder / below
        files, folders, stems = {}, {}, {}
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders[entry.name] = entry.is_symlink()
                    else:
                        files[entry.name] = entry.is_symlink() or not entry.is_file()
        except (FileNotFoundError, NotADirectoryError):
            return _Listing({}, {}, {})
        self._check_folder(below)
        for name in sorted(files, reverse=True):
            if (stem := _stem(name)) != name:
                stems[stem.casefold()] = name
        return _Listing(files, folders, stems)


def fullest_folder(
    candidates: Iterable[Path], videos: Sequence[str], *, forgiving: bool = False
) -> FolderIndex:
    """Return the first of the folders that holds most of a sample of the listed videos.

    Args:
        candidates: Folders, existing or not; the first one is returned where none holds any.
        videos: As listed.
        forgiving: As in :class:`FolderIndex`.
    """
    step = max(1, len(videos) // _NUM_LOOKED_UP)
    sample = videos[::step]
    best, most = None, -1
    for folder in candidates:
        index = FolderIndex(folder, forgiving=forgiving)
        count = sum(index.find(video) is not None for video in sample)
        if count > most:
            best, most = index, count
        if most == len(sample):
            break
    assert best is not None, "there is always the root"
    return best


def by_stem(paths: Iterable[str]) -> dict[str, str]:
    """Map the names of files, without folder and suffix, to the first path of that name."""
    found: dict[str, str] = {}
    for path in paths:
        found.setdefault(_stem(path.rpartition("/")[2]), path)
    return found


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - hundreds of thousands of names
    return stem if suffix.lower() in VIDEO_SUFFIXES else name
