"""List videos without labels, for prediction."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from glob import glob, has_magic
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from pks4_lightning.data.annotations.entry import log_comments, unquoted
from pks4_lightning.data.annotations.file_lookup import FolderIndex
from pks4_lightning.data.annotations.paths import UnsafePathError, shortened
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.annotations.walking import walk
from pks4_lightning.data.video.container import VIDEO_SUFFIXES
from pks4_lightning.data.video.frame_folder import PICTURE_SUFFIXES
from pks4_lightning.files import ANY_NAME
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["list_for_prediction"]

logger = logging.getLogger(__name__)


class _Named(NamedTuple):
    """The videos that one target refers to."""

    folder: Path
    paths: list[str]
    """Paths below the folder."""
    absent: list[str]
    """Paths that do not exist, as written."""

    def joined(self) -> list[str]:
        """Return the paths including the folder."""
        return [str(self.folder / path) for path in self.paths]


def list_for_prediction(
    targets: str | Sequence[str] | None, *, frame_template: str | None = None
) -> VideoList:
    """List videos without labels; a video that is named several times is listed once.

    Args:
        targets: One or more of: a video file; a folder, searched at any depth; a folder of
            pictures; a pattern such as ``clips/**/*.mp4``; a text file with a path per line,
            absolute or relative to that file, where lines that begin with ``#`` are comments; ``-``
            for such a list on standard input.
        frame_template: File names of the pictures, if videos are folders of pictures.

    Returns:
        The videos; those that do not exist are in ``missing``.

    Raises:
        FileNotFoundError: If none of the named videos exists.
        ValueError: If there are no videos, nothing is named, or a name is empty.
    """
    if not targets:
        raise ValueError(
            "data.predict is not set; set it to a video, a folder of videos or a list of them."
        )
    if isinstance(targets, str) and targets.startswith('["'):
        # `pks4 predict` passes its arguments as JSON; YAML does not parse those beyond UTF-8
        targets = json.loads(targets)
    targets = [targets] if isinstance(targets, str) else list(targets)
    parts = [_expand(target) for target in targets]
    absent = list(dict.fromkeys(path for part in parts for path in part.absent))
    if len(parts) == 1:
        folder, paths = parts[0].folder, parts[0].paths
    else:
        folder, paths = Path(), [path for part in parts for path in part.joined()]
    spelled: dict[str, str] = {}
    for path in paths:
        spelled.setdefault(os.path.abspath(folder / path), path)  # noqa: PTH100 - links stay
    paths = list(spelled.values())
    source = " ".join(targets)
    if absent:
        first = next(part.folder / part.absent[0] for part in parts if part.absent)
        meant = _end_of_sentence(first)
        if absent == targets and len(targets) == 1:
            problem = "matches no video" if has_magic(source) else "does not exist"
            raise FileNotFoundError(f"'{source}' {problem}{meant}")
        sentence = (
            f"'{shortened(source)}': {len(absent)} of its {len(paths) + len(absent)} videos do not "
            f"exist, such as '{absent[0]}'"
        )
        if not paths:
            raise FileNotFoundError(f"{sentence}{meant}")
        logger.warning("%s; they are counted as missing.", sentence)
    if not paths:
        raise ValueError(f"'{shortened(source)}' contains no videos.")
    return VideoList(
        source,
        str(folder),
        tuple(paths),
        (-1,) * len(paths),
        missing=tuple(absent),
        missing_labels=(-1,) * len(absent),
        frame_template=frame_template,
    )


def _end_of_sentence(path: Path) -> str:
    """Suggest what a path or pattern probably meant: of a pattern, the folder before it."""
    if not has_magic(str(path)):
        return did_you_mean_path(path)
    folder = Path(*takewhile(lambda part: not has_magic(part), path.expanduser().parts))
    return "." if folder.exists() else f": there is no folder '{folder}'{did_you_mean_path(folder)}"


def _expand(target: str) -> _Named:
    if not target:  # as a path, it would be the current folder
        raise ValueError("A video's name is empty: name a video, a folder of videos or a list.")
    if target == "-":
        return _look_up(_listed(target, sys.stdin.buffer.read()), Path())
    path = Path(target).expanduser()
    if path.is_dir():
        walked = walk(path)
        for remark in walked.unread_remarks():
            logger.warning("%s", remark)
        paths = walked.clips
        if not paths and any(file.suffix.lower() in PICTURE_SUFFIXES for file in path.iterdir()):
            return _Named(path.parent, [path.name], [])
        return _Named(path, paths, [])
    if not path.is_file():
        return _matches(target)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _Named(path.parent, [path.name], [])
    content = path.read_bytes()
    named = _Named(path.parent, [], [])
    if b"\0" not in content:
        named = _look_up(_listed(target, content), path.parent)
    if not named.paths and (b"\0" in content or "\ufffd" in content.decode(errors="replace")):
        raise ValueError(
            f"'{target}' is neither a video ({', '.join(sorted(VIDEO_SUFFIXES))}) nor a list of "
            "paths."
        )
    return named


def _listed(source: str, content: bytes) -> list[str]:
    """Return the paths of a list, one per line, without its comments."""
    text = content.decode(errors=ANY_NAME).lstrip("\ufeff")
    lines = [line for each in StringIO(text, newline=None) if (line := each.strip())]
    kept = [unquoted(line) for line in lines if not line.startswith("#")]
    log_comments(source, len(lines) - len(kept))
    return kept


def _matches(pattern: str) -> _Named:
    """Return the videos and folders of videos that match a pattern."""
    paths: list[str] = []
    absent: list[str] = []
    matches = sorted(glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207 - may be absolute
    for match in matches:
        if Path(match).is_dir() or Path(match).suffix.lower() in VIDEO_SUFFIXES:
            if Path(match).exists():
                paths += _expand(match).joined()
            else:  # a broken link
                absent.append(match)
    # both a folder and the files in it may match
    return _Named(Path(), list(dict.fromkeys(paths)), absent if matches else [pattern])


def _look_up(lines: Sequence[str], base: Path) -> _Named:
    """Look up the paths of a list, absolute or relative to a folder."""
    index = FolderIndex(Path("/"))  # a user's own list may refer to any folder
    folder = os.path.abspath(base).rstrip("/") + "/"  # noqa: PTH100 - links stay as they are
    named = _Named(base, [], [])
    for line in lines:
        listed = Path(line).expanduser()
        path = os.path.abspath(base / listed)  # noqa: PTH100 - same
        try:
            there = index.find(path.removeprefix("/"))
        except UnsafePathError:
            there = None
        if there is None:
            named.absent.append(line)
        else:
            is_absolute = listed.is_absolute()
            named.paths.append(f"/{there}" if is_absolute else f"/{there}".removeprefix(folder))
    return named
