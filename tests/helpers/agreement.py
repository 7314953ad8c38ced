"""Comparison of the index, the reader and FFmpeg on a file."""

import random
from pathlib import Path

import numpy as np

from pks4_lightning.data.inspection.probe import probe_file
from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.data.video.video import Video
from tests.helpers.containers import decode_as_ffmpeg_does

__all__ = ["disagreements"]


def disagreements(path: Path) -> list[str]:
    """Compare verdicts, frame counts and frames; return the differences as sentences."""
    expected = decode_as_ffmpeg_does(path)
    record = probe_file(path.parent, path.name)
    fault, frames = _read(path)
    found = []
    if (fault or "ok") != record.status:
        found.append(f"the reader says {fault or 'ok'} and the index {record.status}")
    if len(frames) != record.num_frames:
        found.append(f"the reader has {len(frames)} frames and the index {record.num_frames}")
    if len(frames) != len(expected):
        found.append(f"the reader has {len(frames)} frames and FFmpeg {len(expected)}")
    if found or not expected:
        return found
    wrong = [n for n, frame in enumerate(frames) if not np.array_equal(frame, expected[n])]
    if wrong:
        found.append(f"the pictures of frames {wrong} differ from FFmpeg's")
    draw = random.Random(path.stem)
    for num_frames in (None, record.num_frames):
        wanted = [draw.randrange(len(expected)) for _ in range(4)]
        chosen = Video(path, num_frames=num_frames).frames(wanted).numpy()
        if not np.array_equal(chosen, [expected[n] for n in wanted]):
            found.append(f"frames {wanted} alone differ from FFmpeg's")
    return found


def _read(path: Path) -> tuple[str, np.ndarray]:
    """Return the reader's fault, if any, and all frames."""
    try:
        video = Video(path)
        try:
            frames = video.frames(range(video.num_frames))
        except FewerFramesError:
            frames = video.frames(range(video.num_frames))
    except VideoDecodeError as error:
        return error.fault, np.empty(0)
    return "", frames.numpy()
