"""Rules for finding listed videos on disk; each data set's record chooses one."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pks4_lightning.data.annotations.entry import Entry, relative_path
from pks4_lightning.data.annotations.file_lookup import by_stem, fullest_folder
from pks4_lightning.data.annotations.paths import UnsafePathError, shortened
from pks4_lightning.data.annotations.walking import find_clips

__all__ = [
    "Locate",
    "Located",
    "Search",
    "as_written",
    "by_file_name",
    "by_media_name",
    "by_path",
    "in_source",
]


class Search(NamedTuple):
    """Where to look for videos."""

    source: Path
    """The annotations."""
    root: Path
    """Folder of the data set."""
    named: Path | None
    """Folder of the videos, if the user named it."""
    usual: tuple[str, ...]
    """Folders below the root in which the archives put them."""

    @property
    def candidates(self) -> list[Path]:
        """Folders to search: the given one, or the usual ones."""
        return [self.named] if self.named else [self.root / name for name in self.usual]


class Located(NamedTuple):
    """The videos found on disk."""

    folder: Path
    paths: list[str | None]
    """One path per entry, relative to the folder; ``None`` if it does not exist."""


Locate: TypeAlias = Callable[[Search, Sequence[Entry]], Located]


def in_source(search: Search, entries: Sequence[Entry]) -> Located:
    """Find videos in the annotations themselves, which are the video folder.

    Args:
        search: Where to look.
        entries: The entries to find.
    """
    return Located(search.source, [entry.video for entry in entries])


def by_path(search: Search, entries: Sequence[Entry]) -> Located:
    """Look for listed paths below the folder, anywhere in the root, that contains most of them.

    A video is also found under another suffix or in another case.

    Args:
        search: Where to look.
        entries: The entries to find.

    Raises:
        ValueError: If a link leads out of that folder.
    """
    folders = search.candidates
    if search.named is None:
        folders += sorted(path for path in search.root.iterdir() if path.is_dir())
    listed = [entry.video for entry in entries]
    return _in_fullest(search.source, folders, listed, forgiving=True)


def as_written(search: Search, entries: Sequence[Entry]) -> Located:
    """Use paths as they are written, absolute ones included, as in a user's own list.

    Args:
        search: Where to look.
        entries: The entries to find.

    Raises:
        ValueError: If a path or a link leads out of the video folder.
    """
    folders = search.candidates
    listed = [_below(folders[0], entry, search.source) for entry in entries]
    return _in_fullest(search.source, folders, listed, forgiving=False)


def by_file_name(names: Callable[[Sequence[Entry]], Sequence[Sequence[str]]]) -> Locate:
    """Return the rule that matches entries to files by file name, in any folder.

    Args:
        names: Returns, for every entry, the possible names of its file, without suffix.
    """

    def locate(search: Search, entries: Sequence[Entry]) -> Located:
        candidates = search.candidates
        folder = next((path for path in candidates if path.is_dir()), candidates[0])
        files = by_stem(find_clips(folder))
        paths = [
            next((files[name] for name in possible if name in files), None)
            for possible in names(entries)
        ]
        return Located(folder, paths)

    return locate


def _media_names(entries: Sequence[Entry]) -> list[list[str]]:
    """Return the possible names of files that were annotated on another machine."""
    stems = [Path(re.split(r"[\\/]", entry.video)[-1]).stem for entry in entries]
    # Label Studio prepends eight digits to the names of uploaded files
    return [[stem, re.sub(r"^[0-9a-f]{8}-", "", stem)] for stem in stems]


by_media_name = by_file_name(_media_names)
"""Matches files by name only, ignoring the folders and URLs that annotation tools write."""


def _in_fullest(
    source: Path, folders: Sequence[Path], listed: Sequence[str], *, forgiving: bool
) -> Located:
    try:
        index = fullest_folder(folders, listed, forgiving=forgiving)
        return Located(index.folder, [index.find(video) for video in listed])
    except UnsafePathError as error:
        raise ValueError(
            f"'{source}' names '{shortened(error.path)}', which {error.reason}; set data.videos to "
            "a folder that holds all videos."
        ) from None


def _below(folder: Path, entry: Entry, source: Path) -> str:
    """Return a listed path relative to the video folder; refuse one that leads out of it."""
    video = entry.video
    if os.path.isabs(video):  # noqa: PTH117 - links stay as they are
        root = os.path.abspath(folder).rstrip("/") + "/"  # noqa: PTH100 - same
        path = os.path.normpath(video)
        if not path.startswith(root):
            raise ValueError(
                f"'{source}' names '{shortened(video)}' at {entry.place}, which lies outside "
                f"'{folder}'; set data.videos to a folder that holds all videos."
            )
        video = path.removeprefix(root)
    return os.path.normpath(relative_path(video, source, entry.place))
