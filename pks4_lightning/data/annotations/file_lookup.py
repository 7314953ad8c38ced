"""Find listed videos on disk by listing every folder once, instead of checking every file.

A split has hundreds of thousands of files, possibly on a slow disk, and all of them must be
accounted for before training begins.
"""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pks4_lightning.data.annotations.paths import UnsafePathError, file_inside
from pks4_lightning.data.video.container import VIDEO_SUFFIXES

__all__ = ["FolderIndex", "by_stem", "fullest_folder"]

_NUM_LOOKED_UP = 64


@dataclass(frozen=True)
class _Listing:
    files: Mapping[str, bool]
    """Entries by name; True for a link, or what is neither file nor folder."""
    folders: Mapping[str, bool]

    @property
    def has_entries(self) -> bool:
        """Whether the folder exists and is not empty."""
        return bool(self.files or self.folders)

    @cached_property
    def alike(self) -> Mapping[str, str]:
        """Names of files and folders by their normalised spelling."""
        return {_alike(name): name for name in (*self.files, *self.folders)}

    @cached_property
    def stems(self) -> Mapping[str, str]:
        """Names of videos by their stem in lower case."""
        videos = (name for name in sorted(self.files, reverse=True) if _stem(name) != name)
        return {_alike(_stem(name)).casefold(): name for name in videos}


class FolderIndex:
    """Finds listed videos below a folder.

    A name is found under any spelling that systems treat as equivalent: accents composed or
    decomposed, suffixes in either case, and slashes or, on Windows, backslashes between folders. A
    video listed without its suffix is found as well.

    Args:
        folder: The folder that listed paths are relative to; it may itself be a link.
        forgiving: Also accept another suffix or another case: copies of published data sets are
            often converted, and UCF-101's own folders and files differ in case.
    """

    def __init__(self, folder: Path, *, forgiving: bool = False) -> None:
        self.folder = folder
        self._forgiving = forgiving
        self._real = folder.resolve()
        self._listings: dict[str, _Listing] = {}

    def find(self, video: str) -> str | None:
        """Return the path of a video relative to the folder, or ``None`` if it does not exist.

        Args:
            video: As listed: a file, with or without its suffix, or a folder of pictures.

        Raises:
            UnsafePathError: If links lead out of the folder, or it is a device or a pipe.
        """
        found = self._find(video)
        return self._find(video.replace("\\", "/")) if not found and "\\" in video else found

    def _find(self, video: str) -> str | None:
        parent, _, name = video.rpartition("/")
        parent = self._spelled(parent)
        listing = self._listing(parent)
        found = self._name_in(listing, name)
        if found is None:
            return None
        path = f"{parent}/{found}" if parent else found
        if found in listing.files:
            return self._checked(path, listing.files[found])
        if listing.folders[found]:
            self._check_folder(path)
        return path

    def _name_in(self, listing: _Listing, name: str) -> str | None:
        """Return the name on disk of a listed file or folder."""
        if name in listing.files or name in listing.folders:
            return name
        if (found := listing.alike.get(_alike(name))) is not None:
            return found
        stem = _stem(name)
        found = listing.stems.get(_alike(stem).casefold())
        if found is None or self._forgiving:
            return found
        return found if stem == name and _alike(_stem(found)) == _alike(name) else None

    def _checked(self, path: str, is_link: bool) -> str:
        if is_link:
            try:
                file_inside(self.folder, path)
            except FileNotFoundError:
                raise UnsafePathError(path, "is a broken link") from None
        return path

    def _check_folder(self, below: str) -> None:
        real = (self.folder / below).resolve()
        if not real.is_relative_to(self._real):
            raise UnsafePathError(below, f"leads out of '{self.folder}', to '{real}'")

    def _spelled(self, folder: str) -> str:
        """Return a folder in the spelling of the disk."""
        if not folder or self._listing(folder).has_entries:
            return folder
        parent, _, name = folder.rpartition("/")
        parent = self._spelled(parent)
        listing = self._listing(parent)
        if name not in listing.folders:
            name = listing.alike.get(_alike(name), name)
        if name not in listing.folders and self._forgiving:
            same = (other for other in listing.folders if other.casefold() == name.casefold())
            name = next(same, name)
        return f"{parent}/{name}" if parent else name

    def _listing(self, below: str) -> _Listing:
        if below not in self._listings:
            self._listings[below] = self._list(below)
        return self._listings[below]

    def _list(self, below: str) -> _Listing:
        path = self.folder / below
        files, folders = {}, {}
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders[entry.name] = entry.is_symlink()
                    else:
                        files[entry.name] = entry.is_symlink() or not entry.is_file()
        except (FileNotFoundError, NotADirectoryError):
            return _Listing({}, {})
        self._check_folder(below)
        return _Listing(files, folders)


def fullest_folder(
    candidates: Iterable[Path], videos: Sequence[str], *, forgiving: bool = False
) -> FolderIndex:
    """Return the first of the folders that contain most of a sample of the listed videos.

    Args:
        candidates: Folders, existing or not; the first one is returned if none contains any.
        videos: The videos as listed.
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
    assert best is not None, "candidates include at least the root"
    return best


def by_stem(paths: Iterable[str]) -> dict[str, str]:
    """Map the stems of files to the first path with that stem."""
    found: dict[str, str] = {}
    for path in paths:
        found.setdefault(_stem(path.rpartition("/")[2]), path)
    return found


def _alike(name: str) -> str:
    """Return a name with accents in one form and its suffix in lower case."""
    stem, dot, suffix = name.rpartition(".")
    alike = stem + dot + suffix.lower() if stem else name
    return alike if alike.isascii() else unicodedata.normalize("NFC", alike)


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - hundreds of thousands of names
    return stem if suffix.lower() in VIDEO_SUFFIXES else name
