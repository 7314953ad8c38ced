"""Sources of a stream: a file, a camera or an address, as frames with times."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import av
from av.container import InputContainer

from pks4_lightning.data.video.errors import VideoDecodeError, refuse_absent
from pks4_lightning.data.video.video import Video

__all__ = ["Source", "TimedFrames", "open_source"]

logger = logging.getLogger(__name__)

TimedFrames: TypeAlias = Iterator[tuple[float, av.VideoFrame]]
"""Seconds from the first frame, increasing, and the frame."""

_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
_SECONDS_TO_OPEN = 10.0
_SECONDS_TO_READ = 10.0


class Source(NamedTuple):
    """An open source."""

    frames: TimedFrames
    is_live: bool
    """Whether frames arrive in real time: from a camera or an address, not from a file."""


@contextmanager
def open_source(name: str) -> Iterator[Source]:
    """Open a file, a camera or an address.

    Args:
        name: Path of a video; number of a camera, ``0`` for ``/dev/video0``; or an address such
            as ``rtsp://host/path``.

    Raises:
        VideoDecodeError: If it cannot be opened, or is interrupted while it is read.
    """
    scheme = name.partition("://")[0].lower()
    if "://" not in name and not name.isdecimal():
        refuse_absent(name)
        if Path(name).is_dir():
            raise VideoDecodeError.of(
                name,
                "it is a folder; a stream is a file, a camera or an address, and `pks4 predict` "
                "labels folders",
                "unreadable",
            )
        yield Source(Video(name).timed_frames(), is_live=False)
        return
    try:
        if name.isdecimal():
            container = av.open(f"/dev/video{name}", format="v4l2")
        elif scheme in _SCHEMES:
            container = av.open(name, timeout=(_SECONDS_TO_OPEN, _SECONDS_TO_READ))
        else:
            raise VideoDecodeError.of(
                name, f"{scheme}:// is not among the supported schemes ({', '.join(_SCHEMES)})"
            )
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, VideoDecodeError):
            raise
        place = f"/dev/video{name}" if name.isdecimal() else name
        raise VideoDecodeError.of(place, _reason(error)) from error
    with container:
        if not container.streams.video:
            raise VideoDecodeError.of(name, "it contains no video stream")
        yield Source(_timed(container, name), is_live=True)


def _timed(container: InputContainer, name: str) -> TimedFrames:
    """Yield the frames of a live source, with increasing times whatever its stamps."""
    stream = container.streams.best("video")
    assert isinstance(stream, av.VideoStream)
    stream.codec_context.thread_count = 1
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    first: float | None = None
    last = -1.0 / rate
    try:
        for frame in container.decode(stream):
            stamp = frame.time
            first = stamp if first is None else first
            seconds = last + 1.0 / rate
            if stamp is not None and first is not None and stamp - first > last:
                seconds = stamp - first
            last = seconds
            yield seconds, frame
    except av.error.FFmpegError as error:
        raise VideoDecodeError.of(name, f"it was interrupted: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:]
