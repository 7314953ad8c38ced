"""The videos below a folder: files, and folders of pictures."""

import os
from collections.abc import Iterator
from pathlib import Path

from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES

__all__ = ["find_clips", "find_videos"]


def find_videos(folder: Path) -> list[str]:
    """List the video files below a folder, at any depth, sorted, relative to it."""
    return sorted(path for path, is_file in _walk(folder) if is_file)


def find_clips(folder: Path) -> list[str]:
    """List the video files and the folders of pictures below a folder, sorted, relative to it.

    Args:
        folder: Searched at any depth, through links. Pictures beside videos are ignored.
    """
    return sorted(path for path, _ in _walk(folder))


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
