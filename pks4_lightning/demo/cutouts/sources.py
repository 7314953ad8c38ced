"""The user's videos that the motion bench is made of, separate for training and test."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pks4_lightning.data.annotations.walking import find_videos
from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.data.video.video import Video
from pks4_lightning.experiments.folds import GroupedClip, grouped_folds, read_clips
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["Source", "Sources", "find_sources", "read_frames"]

logger = logging.getLogger(__name__)

_PARTS = 3
"""One part in this many is for the test."""
_LEAST = 2
"""Least number of videos in a split, because a clip is made of two."""


@dataclass(frozen=True)
class Source:
    """A video used to make clips."""

    path: str
    num_frames: int
    num_bytes: int


@dataclass(frozen=True)
class Sources:
    """The videos of each split; no two videos from different splits were filmed together."""

    folder: Path
    train: tuple[Source, ...]
    test: tuple[Source, ...]

    def fingerprint(self) -> str:
        """Return a hash of the videos' paths, lengths and sizes, independent of the folder."""
        listed = [[asdict(source) for source in split] for split in (self.train, self.test)]
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def find_sources(folder: Path, *, num_frames: int) -> Sources:
    """Find the videos of a folder and divide them by whole groups: a third is for the test.

    If the folder has an ``index.csv``, as ``pks4 data groups`` writes it, its column ``group``
    tells which videos were filmed together, and videos that it does not list are left out.
    Otherwise every video is a group.

    Args:
        folder: Contains videos, at any depth.
        num_frames: Frames of a clip. Videos that are shorter or cannot be read are left out with a
            warning.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If there are too few videos or groups for both splits.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder of videos {folder}{did_you_mean_path(folder)}")
    listed = _grouped(folder)
    found = {clip.path: _open(folder, clip.path) for clip in listed}
    long = [source for source in found.values() if source and source.num_frames >= num_frames]
    if short := sum(source is not None for source in found.values()) - len(long):
        logger.warning(
            "%d videos in %s have fewer than the %d frames of a clip and are left out.",
            *(short, folder, num_frames),
        )
    if len(long) < 2 * _LEAST:
        raise ValueError(
            f"{folder} has {len(long)} readable videos of at least {num_frames} frames; clips for "
            f"training and test need at least {2 * _LEAST}: add videos, or name another folder."
        )
    kept = {source.path: source for source in long}
    clips = [clip for clip in listed if clip.path in kept]
    num_groups = len({clip.group for clip in clips})
    if num_groups < 2:
        raise ValueError(
            f"All {len(clips)} videos of {folder} are of one group, so none is left to test on: "
            "correct the column group of its index.csv, or add videos of other scenes."
        )
    parts = min(_PARTS, num_groups)
    folds = grouped_folds(clips, parts)
    splits: dict[bool, list[Source]] = {True: [], False: []}
    for clip, fold in zip(clips, folds, strict=True):
        splits[fold == parts].append(kept[clip.path])
    if min(map(len, splits.values())) < _LEAST:
        raise ValueError(
            f"The {len(clips)} videos of {folder} are of {num_groups} groups that leave fewer than "
            f"{_LEAST} videos to train or to test on: add videos, or group them more finely."
        )
    return Sources(folder, train=tuple(splits[False]), test=tuple(splits[True]))


def read_frames(
    path: Path, indices: Sequence[int], *, short_side: int
) -> UInt8[np.ndarray, "T H W 3"]:
    """Decode frames of a video; the last frame is repeated beyond the end.

    Args:
        path: The video.
        indices: Numbers of the frames.
        short_side: Length of the shorter side after scaling, in pixels.

    Raises:
        VideoDecodeError: If the video is damaged.
    """
    video = Video(path)
    while True:
        last = video.num_frames - 1
        try:
            frames = video.frames([min(index, last) for index in indices], short_side)
        except FewerFramesError:  # decoding has corrected the number of frames: try again
            continue
        return frames.numpy()


def _grouped(folder: Path) -> list[GroupedClip]:
    """Return the videos of a folder with their groups, sorted by path."""
    table = folder / "index.csv"
    if table.is_file():
        return sorted(read_clips(table), key=lambda clip: clip.path)
    logger.warning(
        "%s has no index.csv: every video counts as filmed apart from all others. If that is "
        "wrong, make the table with `pks4 data groups`.",
        folder,
    )
    return [GroupedClip(path, "", group=path) for path in find_videos(folder)]


def _open(folder: Path, path: str) -> Source | None:
    try:
        return Source(path, Video(folder / path).num_frames, (folder / path).stat().st_size)
    except VideoDecodeError as error:
        logger.warning("%s; it is left out.", error)
        return None
