"""Opening a video file that somebody else made: which containers, codecs and sizes may pass."""

import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from pks4_lightning.data.video.errors import VideoDecodeError, ffmpeg_errors

# fmt: off
__all__ = [
    "CODECS", "MAX_PACKETS", "MAX_PIXELS", "OPTIONS", "VIDEO_SUFFIXES", "find_missing_end",
    "open_video", "set_up_decoder",
]
# fmt: on

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})

MAX_PIXELS = 4096 * 2304
MAX_PACKETS = 2_000_000
"""Nineteen hours at 30 frames a second; a longer table of packets is an attack on the memory."""

# fmt: off
CODECS = frozenset({
    "av1", "flv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4",
    "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "vp8", "vp9", "wmv1", "wmv2",
})
# fmt: on
# Anything else FFmpeg can open, playlists above all, may name and open further files.
OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi",
    "protocol_whitelist": "file",
}
# Writers of MPEG-4 Part 2 and its relatives often break rules that these checks insist on.
_CHECKED_CODECS = frozenset({"av1", "h264", "hevc", "vp8", "vp9"})
_CHECKS = "crccheck+bitstream+buffer+explode"


@contextmanager
def open_video(source: Path | BinaryIO, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and find its video stream.

    Args:
        source: Path, or an open file, which is read from its beginning.
        name: For messages.

    Raises:
        VideoDecodeError: If it is no regular file, of no supported container or codec, has frames
            of more than 4096 × 2304 pixels, or holds no video; also for what FFmpeg reports while
            it is open.
    """
    if isinstance(source, Path):
        _check_regular(source, name)
    else:
        source.seek(0)
    opened = str(source) if isinstance(source, Path) else source
    with (
        ffmpeg_errors(name),
        av.open(
            opened,
            options=dict(OPTIONS),
            metadata_errors="replace",  # titles need not be UTF-8
        ) as container,
    ):
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise VideoDecodeError.of(name, "it contains no video stream")
        if stream.codec_context is None:
            raise VideoDecodeError.of(name, "its codec is unknown")
        codec = stream.codec.canonical_name
        if codec not in CODECS:
            raise VideoDecodeError.of(name, f"its codec {codec} is not among the supported ones")
        if stream.width * stream.height > MAX_PIXELS:
            size = f"{stream.width} × {stream.height}"
            raise VideoDecodeError.of(name, f"its frames of {size} are too large")
        yield container, stream


def set_up_decoder(codec: VideoCodecContext, *, strict: bool) -> None:
    """Set a decoder's options, before it is first used.

    Args:
        codec: The stream's decoder.
        strict: Report damage instead of hiding it, where the codec's own checks can be trusted.
    """
    # workers are processes already, and a multi-threaded decoder can hang at their end
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    if strict and codec.codec.canonical_name in _CHECKED_CODECS:
        codec.options = {**codec.options, "err_detect": _CHECKS}


def find_missing_end(
    container: InputContainer, stream: VideoStream, stamps: Sequence[int | None], last_duration: int
) -> str | None:
    """Compare what was read with what the header promises.

    Args:
        container: The open file.
        stream: Its video stream, read to the end.
        stamps: Time stamps of all packets, in the stream's ticks.
        last_duration: Ticks for which the last packet says it is shown; 0 where it says nothing.

    Returns:
        A reason to think that the end of the file is missing, or ``None``.
    """
    kind = container.format.name
    if "mp4" in kind and len(stamps) < stream.frames:
        return f"it has {len(stamps)} of {stream.frames} frames; its end is missing"
    known = np.sort(np.asarray([stamp for stamp in stamps if stamp is not None], dtype=np.int64))
    if "matroska" not in kind or container.duration is None or stream.time_base is None:
        return None
    if len(known) < max(2, len(stamps)):
        return None
    if any(other is not stream for other in container.streams):
        # the duration is that of the longest stream
        return None
    gaps = np.diff(known) * float(stream.time_base)
    longest, usual = float(gaps.max()), float(np.median(gaps))
    # the last picture of a recording with an uneven rate may be shown for longer than any before
    spare = 0.75 if longest <= 1.5 * usual else 1.5
    shown_for = last_duration * float(stream.time_base) if last_duration > 0 else longest
    end = int(known[-1]) * float(stream.time_base) + shown_for
    missing = container.duration / av.time_base - end
    if missing <= spare * longest + 0.003:
        return None
    return f"its last {missing:.2f} seconds are missing"


def _check_regular(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        reason = "there is no such file" if not path.exists() else str(error.strerror).lower()
        raise VideoDecodeError.of(name, reason) from None
    except ValueError:
        raise VideoDecodeError.of(name, "there is no such file") from None
    if not stat.S_ISREG(mode):
        raise VideoDecodeError.of(name, "it is no regular file")
