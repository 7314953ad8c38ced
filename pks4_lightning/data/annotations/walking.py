"""Find video files and folders of pictures below a folder, and report what is skipped."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES

__all__ = ["Walk", "find_clips", "find_videos", "suffixes_of", "walk"]

# fmt: off
_OTHER_VIDEO_SUFFIXES = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".av1", ".bik", ".dav", ".divx", ".dv", ".f4v",
    ".flv", ".gif", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".lrv", ".m1v", ".m2p", ".m2t",
    ".m2ts", ".m2v", ".mjpeg", ".mjpg", ".mod", ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts",
    ".mxf", ".nut", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".swf", ".tod", ".ts", ".vob",
    ".wmv", ".wtv", ".xvid", ".y4m",
}) - VIDEO_SUFFIXES
# fmt: on
_NUM_NAMED = 3


@dataclass(frozen=True)
class Walk:
    """The result of a walk; paths are relative to the folder, and sorted.

    Args:
        folder: The folder.
        videos: Video files.
        picture_folders: Folders of pictures, each of which is a video.
        unread: Files in unsupported video formats.
        empty: Direct subfolders that contain no video, each with its files.
    """

    folder: Path
    videos: list[str]
    picture_folders: list[str]
    unread: list[str]
    empty: dict[str, list[str]]

    @property
    def clips(self) -> list[str]:
        """Video files and folders of pictures."""
        return sorted([*self.videos, *self.picture_folders])

    def remarks(self) -> list[str]:
        """Describe what is skipped, one sentence each."""
        if not self.empty:
            return self.unread_remarks()
        named = ", ".join(
            f"'{name}' ({suffixes_of(files) or 'empty'})"
            for name, files in list(self.empty.items())[:_NUM_NAMED]
        )
        more = f" and {rest} more" if (rest := len(self.empty) - _NUM_NAMED) > 0 else ""
        hold = "1 folder" if len(self.empty) == 1 else f"{len(self.empty)} folders"
        return [
            *self.unread_remarks(),
            f"{hold} in '{self.folder}' without a video in a supported format: {named}{more}.",
        ]

    def unread_remarks(self) -> list[str]:
        """Describe the files that are skipped, if any, in one sentence."""
        if not self.unread:
            return []
        return [
            f"{len(self.unread)} files below '{self.folder}' are videos in unsupported formats "
            f"({suffixes_of(self.unread)}), such as '{self.unread[0]}'; they are skipped "
            "unless you convert them."
        ]


def walk(folder: Path) -> Walk:
    """Walk a folder, at any depth and through links, skipping hidden files and folders.

    Args:
        folder: Where to start. Pictures beside video files are ignored.
    """
    videos: list[str] = []
    picture_folders: list[str] = []
    unread: list[str] = []
    empty: dict[str, list[str]] = {}
    for below, folders, names in _visible(folder):
        suffixes = [os.path.splitext(name)[1].lower() for name in names]  # noqa: PTH122 - millions
        prefix = f"{below}/" if below else ""
        paths = [prefix + name for name in names]
        found = [
            path for path, suffix in zip(paths, suffixes, strict=True) if suffix in VIDEO_SUFFIXES
        ]
        videos += found
        unread += [
            path
            for path, suffix in zip(paths, suffixes, strict=True)
            if suffix in _OTHER_VIDEO_SUFFIXES
        ]
        if below and not found and not PICTURE_SUFFIXES.isdisjoint(suffixes):
            picture_folders.append(below)
        outermost = below.partition("/")[0]
        if not below:
            empty = {name: [] for name in sorted(folders)}
        elif found or picture_folders[-1:] == [below]:
            empty.pop(outermost, None)
        elif outermost in empty:
            empty[outermost] += paths
    return Walk(folder, sorted(videos), sorted(picture_folders), sorted(unread), empty)


def find_videos(folder: Path) -> list[str]:
    """List the video files below a folder, at any depth, as sorted relative paths."""
    return walk(folder).videos


def find_clips(folder: Path) -> list[str]:
    """List the video files and folders of pictures below a folder, as sorted relative paths."""
    return walk(folder).clips


def suffixes_of(paths: Iterable[str]) -> str:
    """Count files by suffix, for a message: ``3 .rmvb, 1 .txt``.

    Args:
        paths: The files.
    """
    counts = Counter(PurePosixPath(path).suffix or "without suffix" for path in paths)
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {suffix}" for suffix, count in most_first)


def _visible(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield every folder below one, with the names of its subfolders and files."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [
            name for name in folders if not name.startswith(".") and not _leads_back(parent, name)
        ]
        below = Path(parent).relative_to(folder).as_posix()
        shown = [name for name in names if not name.startswith(".")]
        yield "" if below == "." else below, folders, shown


def _leads_back(parent: str, name: str) -> bool:
    """Return whether a folder is a link to one of its parents, in which a walk would never end."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())
