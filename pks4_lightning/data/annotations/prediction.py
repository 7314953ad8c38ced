"""Videos without labels, to predict."""

import logging
import os
from pathlib import Path

from pks4_lightning.data.annotations.entry import listed_lines, unquoted
from pks4_lightning.data.annotations.file_lookup import FolderIndex
from pks4_lightning.data.annotations.paths import UnsafePathError
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.annotations.walking import walk
from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES

__all__ = ["list_for_prediction"]

logger = logging.getLogger(__name__)


def list_for_prediction(target: str | None, *, frame_template: str | None = None) -> VideoList:
    """List videos without labels.

    Args:
        target: A video file; a folder, searched at any depth; a folder of pictures; or a text file
            with a path per line, absolute or relative to that file. Lines that begin with ``#`` are
            comments.
        frame_template: Name of the pictures, where videos are folders of them.

    Returns:
        The videos; those of a text file that are not on the disk are its missing ones.

    Raises:
        FileNotFoundError: If it does not exist, or none of the videos that it lists.
        ValueError: If it holds no videos, or none is named.
    """
    if target is None:
        raise ValueError(
            "data.predict is not set; it names a video, a folder of videos or a list of them."
        )
    path = Path(target).expanduser()
    absent: list[str] = []
    if path.is_dir():
        walked = walk(path)
        folder, paths = path, walked.clips
        for remark in walked.unread_remarks():
            logger.warning("%s", remark)
        if not paths and any(file.suffix.lower() in PICTURE_SUFFIXES for file in path.iterdir()):
            folder, paths = path.parent, [path.name]
    elif not path.is_file():
        raise FileNotFoundError(f"data.predict names '{target}', which does not exist.")
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        folder, paths = path.parent, [path.name]
    else:
        folder = path.parent
        paths, absent = _look_up(path)
    if not paths:
        raise ValueError(f"data.predict names '{target}', which holds no videos.")
    return VideoList(
        str(path),
        str(folder),
        tuple(paths),
        (-1,) * len(paths),
        missing=tuple(absent),
        missing_labels=(-1,) * len(absent),
        frame_template=frame_template,
    )


def _look_up(source: Path) -> tuple[list[str], list[str]]:
    """Return what a text file lists: the paths of what is there, and what is not, as written."""
    try:
        lines = [unquoted(line) for _, line in listed_lines(source)]
    except ValueError:
        raise ValueError(
            f"data.predict names '{source}', which is neither a video "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}) nor a list of paths."
        ) from None
    index = FolderIndex(Path("/"))  # a list of one's own may lead anywhere
    folder = os.path.abspath(source.parent).rstrip("/") + "/"  # noqa: PTH100 - links stay as they are
    found, absent = [], []
    for line in lines:
        listed = Path(line).expanduser()
        path = os.path.abspath(source.parent / listed)  # noqa: PTH100 - same
        try:
            there = index.find(path.removeprefix("/"))
        except UnsafePathError:
            there = None
        if there is None:
            absent.append(line)
        else:
            found.append(f"/{there}" if listed.is_absolute() else f"/{there}".removeprefix(folder))
    if absent:
        sentence = (
            f"{len(absent)} of the {len(lines)} videos that '{source}' lists do not exist, such as "
            f"'{absent[0]}'"
        )
        if not found:
            raise FileNotFoundError(f"{sentence}; correct the list.")
        logger.warning("%s; they are counted as missing.", sentence)
    return found, absent
