"""A close look at one video file: every frame decoded, every promise of its header checked.

FFmpeg conceals damage as well as it can, so most damaged files decode without an error. Here its
decoders are told to refuse what they would conceal, and what the container promises, a number of
frames or a duration, is compared with what is there. Damage that neither shows, such as a changed
bit that gives another valid picture, is only told by the hash of a file that was whole once.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pks4_lightning.data.video.container import (
    CODECS,
    MAX_PIXELS,
    OPTIONS,
    find_missing_end,
    set_up_decoder,
)
from pks4_lightning.files import sha256_of

__all__ = ["FileRecord", "Status", "probe_file"]

Status: TypeAlias = Literal[
    "ok",
    "missing",
    "unreadable",
    "truncated",
    "zero_frames",
    "decode_error",
    "flagged_corrupt",
    "too_large",
    "disallowed_format",
    "crashed",
    "timeout",
    "hash_mismatch",
]

_SLACK_FRAMES = 1.5
"""How far the promised duration may exceed what is there, in frames: muxers round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What is known of one file: a line of the manifest."""

    path: str
    """Relative to the manifest's root, with forward slashes."""
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    container: str = ""
    codec: str = ""
    pix_fmt: str = ""
    rotation: int = 0
    """Degrees that players turn the frames by."""
    width: int = 0
    height: int = 0
    num_frames: int = 0
    """Frames that decode, each of them counted."""
    pts_digest: str = ""
    """Hash of the frames' time stamps in order."""
    keyframes: tuple[int, ...] = ()
    """Numbers of the frames that decode without others, in presentation order."""
    duration: float = 0.0
    """Seconds from the first frame's start to the last frame's end."""
    status: Status = "ok"
    reason: str = ""


class _FindingError(Exception):
    """What is wrong with a file."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status: Status = status
        self.reason = reason


def probe_file(root: Path, path: str) -> FileRecord:
    """Hash a file and decode all of it.

    Args:
        root: Folder that the path is relative to.
        path: The video.

    Returns:
        Its record. Whatever is wrong with the file is its status and reason; nothing is raised.
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
    try:
        if stat.st_size == 0:
            raise _FindingError("unreadable", "the file is empty")
        _examine(file, known)
    except _FindingError as finding:
        known.update(status=finding.status, reason=finding.reason)
    except av.error.FFmpegError as error:
        status: Status = "decode_error" if known.get("codec") else "unreadable"
        reason = error.strerror or type(error).__name__
        reason = reason[:1].lower() + reason[1:]
        if "container" not in known and isinstance(error, av.error.ArgumentError):
            status, reason = "disallowed_format", "it is no MP4, MOV, WebM, MKV or AVI file"
        known.update(status=status, reason=reason)
    return FileRecord(path=path, **known)


def _examine(file: Path, known: dict[str, Any]) -> None:
    """Decode a file and fill in what is learnt, as far as that goes."""
    with av.open(str(file), options=dict(OPTIONS), metadata_errors="replace") as container:
        stream = _video_stream(container, known)
        ends: list[float] = []
        stamps: list[int | None] = []
        keyframes: list[int] = []
        damaged = 0
        sent: list[int | None] = []
        last_duration = 0
        for packet in _packets(container, ends):
            if packet.stream_index != stream.index:
                continue
            if packet.size:
                sent.append(packet.pts)
                last_duration = packet.duration or 0
            for frame in packet.decode():
                if frame.width * frame.height > MAX_PIXELS:
                    raise _FindingError("too_large", f"a frame has {frame.width} × {frame.height}")
                if frame.key_frame:
                    keyframes.append(len(stamps))
                stamps.append(frame.pts)
                damaged += frame.is_corrupt
                known["rotation"] = round(frame.rotation)
        _describe(known, stream, stamps, keyframes)
        if not sent:
            raise _FindingError("zero_frames", "it contains no video frames")
        if not stamps:
            raise _FindingError("zero_frames", f"none of its {len(sent)} frames can be decoded")
        if damaged:
            raise _FindingError("flagged_corrupt", f"the decoder marks {damaged} frames as damaged")
        _check_promises(container, stream, len(sent), max(ends, default=0.0))
        missing = find_missing_end(container, stream, sent, last_duration)
        if missing is not None:
            raise _FindingError("truncated", missing)


def _video_stream(container: InputContainer, known: dict[str, Any]) -> VideoStream:
    known["container"] = container.format.name
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise _FindingError("unreadable", "it contains no video stream")
    if stream.codec_context is None:
        raise _FindingError("disallowed_format", "its codec is unknown")
    codec = stream.codec.canonical_name
    if codec not in CODECS:
        raise _FindingError(
            "disallowed_format", f"its codec {codec} is not among the supported ones"
        )
    known.update(codec=codec, width=stream.width, height=stream.height)
    known["pix_fmt"] = stream.codec_context.pix_fmt or ""
    if stream.width * stream.height > MAX_PIXELS:
        raise _FindingError("too_large", f"its frames have {stream.width} × {stream.height} pixels")
    set_up_decoder(stream.codec_context, strict=True)
    return stream


def _packets(container: InputContainer, ends: list[float]) -> Iterator[Any]:
    """Read the packets of all streams and note when each ends, in seconds."""
    for packet in container.demux():
        if packet.is_corrupt:
            end = (packet.pos or 0) + packet.size
            if packet.pos is not None and end >= container.size:
                raise _FindingError("truncated", "it ends in the middle of a frame")
            raise _FindingError("flagged_corrupt", "the container marks data as damaged")
        if packet.pts is not None and packet.time_base is not None:
            ends.append(float((packet.pts + (packet.duration or 0)) * packet.time_base))
        yield packet


def _describe(
    known: dict[str, Any], stream: VideoStream, stamps: list[int | None], keyframes: list[int]
) -> None:
    ticks = np.array([-1 if stamp is None else stamp for stamp in stamps], dtype=np.int64)
    rate = stream.average_rate or stream.guessed_rate
    known["num_frames"] = len(stamps)
    known["keyframes"] = tuple(keyframes)
    known["pts_digest"] = hashlib.blake2b(ticks.tobytes(), digest_size=16).hexdigest()
    if stamps and stream.time_base is not None:
        last = 1 / float(rate) if rate else 0.0
        if None in stamps:
            known["duration"] = round(len(stamps) * last, 6)
        else:
            known["duration"] = round(float(np.ptp(ticks)) * float(stream.time_base) + last, 6)


def _check_promises(
    container: InputContainer, stream: VideoStream, packets: int, end: float
) -> None:
    """Compare the header's count and duration with what came."""
    if stream.frames and packets < stream.frames:
        raise _FindingError(
            "truncated", f"its header promises {stream.frames} frames and it holds {packets}"
        )
    if container.duration is None or "matroska" not in container.format.name:
        return
    promised = container.duration / av.time_base
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    if promised - end > _SLACK_FRAMES / rate:
        raise _FindingError(
            "truncated", f"its header promises {promised:.2f} seconds and it ends at {end:.2f}"
        )
