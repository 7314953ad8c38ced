"""Examine one video file: decode every frame and check what its header claims.

The reader decides: a file is intact if all frames can be read, and their number is what was read.
FFmpeg conceals damage where it can, so most damaged files decode without an error. The reader
therefore makes decoders refuse what they would conceal, and compares what the container claims (a
number of frames or a duration) with what is there. Damage that shows in neither, such as a flipped
bit that gives another valid picture, is detected only by the hash of a file that was intact before.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from pks4_lightning.data.video.errors import Fault, VideoDecodeError
from pks4_lightning.data.video.orientation import UPRIGHT, frame_orientation
from pks4_lightning.data.video.video import Video
from pks4_lightning.files import sha256_of

__all__ = ["READER_VERSION", "FileRecord", "Status", "probe_file"]

READER_VERSION = 1
"""Incremented whenever the reader changes what it accepts, or what it counts as a frame."""

Status: TypeAlias = Fault | Literal["ok", "crashed", "timeout", "hash_mismatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """The record of one file: a line of the manifest."""

    path: str
    """Path relative to the manifest's root, with forward slashes."""
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    container: str = ""
    codec: str = ""
    pix_fmt: str = ""
    rotation: int = 0
    """Counter-clockwise rotation in degrees that players apply."""
    mirrored: bool = False
    """Whether players mirror left and right afterwards."""
    pixel_aspect: str = "1"
    """Width of a pixel divided by its height."""
    width: int = 0
    height: int = 0
    num_frames: int = 0
    """Number of frames that decode."""
    pts_digest: str = ""
    """Hash of the frames' time stamps in order."""
    keyframes: tuple[int, ...] = ()
    """Indices of the frames that decode without others, in presentation order."""
    duration: float = 0.0
    """Seconds from the start of the first frame to the end of the last."""
    status: Status = "ok"
    reason: str = ""
    reader: int = 0
    """Version of the reader that examined the file; 0 before versions were counted."""


def probe_file(root: Path, path: str) -> FileRecord:
    """Hash a file and decode all of it.

    Args:
        root: Folder that the path is relative to.
        path: The video.

    Returns:
        Its record. Faults of the file are in its status and reason; nothing is raised.
    """
    file = root / path
    try:
        stat = file.stat()
        known: dict[str, Any] = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
        known["sha256"] = sha256_of(file)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if absent else (error.strerror or str(error)).lower()
        return FileRecord(path=path, status="missing" if absent else "unreadable", reason=reason)
    known["reader"] = READER_VERSION
    if stat.st_size == 0:
        return FileRecord(path=path, status="unreadable", reason="the file is empty", **known)
    try:
        _examine(file, known)
    except VideoDecodeError as error:
        known.update(status=error.fault, reason=error.reason)
    return FileRecord(path=path, **known)


def _examine(file: Path, known: dict[str, Any]) -> None:
    """Let the reader decode a file, and record the result."""
    video = Video(file)
    stream = video.stream
    known.update(
        container=stream.container,
        codec=stream.codec.codec.canonical_name,
        pix_fmt=stream.codec.pix_fmt or "",
        pixel_aspect=str(stream.pixel_aspect),
        width=stream.size[1],
        height=stream.size[0],
    )
    stamps: list[int] = []
    keyframes: list[int] = []
    orientation = UPRIGHT
    for number, frame in enumerate(video.every_frame()):
        if number == 0:
            orientation = frame_orientation(frame)
        if frame.key_frame:
            keyframes.append(number)
        stamps.append(-1 if frame.pts is None else frame.pts)
    ticks = np.array(stamps, dtype=np.int64)
    known.update(
        rotation=orientation.degrees,
        mirrored=orientation.mirrored,
        num_frames=video.num_frames,
        pts_digest=hashlib.blake2b(ticks.tobytes(), digest_size=16).hexdigest(),
        keyframes=tuple(keyframes),
        duration=round(video.duration, 6),
    )
