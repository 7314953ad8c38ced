"""Open an untrusted video file; only known containers, codecs and sizes are accepted."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from pks4_lightning.data.video.errors import VideoDecodeError, ffmpeg_errors

__all__ = ["CODECS", "MAX_PIXELS", "VIDEO_SUFFIXES", "open_video", "set_up_decoder"]

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv",
})
"""Suffixes of video files, in lower case. The actual format is determined by the content."""

CODECS = frozenset({
    "av1", "flv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4",
    "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "theora", "vc1", "vp8", "vp9", "wmv1", "wmv2", "wmv3",
})
# fmt: on
MAX_PIXELS = 4096 * 2304

# Other formats that FFmpeg opens, above all playlists, may name and open further files.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
# A few pictures do not reveal that they are in a container, and some MPEG files have none.
_LIKELY_FORMATS = {
    ".m2ts": "mpegts", ".mts": "mpegts", ".ts": "mpegts",
    ".mpeg": "mpegvideo", ".mpg": "mpegvideo",
}  # fmt: skip
# Encoders of MPEG-4 Part 2 and related codecs often break rules that these checks enforce.
_CHECKED_CODECS = frozenset({"av1", "h264", "hevc", "vp8", "vp9"})
_CHECKS = "crccheck+bitstream+buffer+explode"


@contextmanager
def open_video(source: Path | BinaryIO, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and find its video stream.

    Args:
        source: Path, or an open file, which is read from its beginning.
        name: Name of the file, for messages.

    Raises:
        VideoDecodeError: If it is not a regular file, its container or codec is not supported, its
            frames have more than 4096 × 2304 pixels, or it contains no video; also if FFmpeg
            reports an error while it is open.
    """
    likely = None
    if isinstance(source, Path):
        _check_regular(source, name)
        likely = _LIKELY_FORMATS.get(source.suffix.lower())
    with ffmpeg_errors(name, "unreadable"):
        try:
            container = _open(source, None)
        except av.error.ArgumentError:
            if likely is None:
                reason = "its container is not among the supported ones"
                raise VideoDecodeError.of(name, reason, "disallowed_format") from None
            container = _open(source, likely)
    with ffmpeg_errors(name), container:
        yield container, _find_stream(container, name)


def set_up_decoder(codec: VideoCodecContext, *, strict: bool) -> None:
    """Set a decoder's options, before it is first used.

    Args:
        codec: The stream's decoder.
        strict: Report damage instead of concealing it, if the codec's own checks are reliable.
    """
    # Workers are processes already, and a multi-threaded decoder can hang when they exit.
    codec.thread_count = 1
    codec.options = {"max_pixels": str(MAX_PIXELS)}
    if strict and codec.codec.canonical_name in _CHECKED_CODECS:
        codec.options = {**codec.options, "err_detect": _CHECKS}


def _open(source: Path | BinaryIO, container_format: str | None) -> InputContainer:
    options = {"format_whitelist": container_format or _FORMATS, "protocol_whitelist": "file"}
    if not isinstance(source, Path):
        source.seek(0)
    return av.open(
        str(source) if isinstance(source, Path) else source,
        format=container_format,
        options=options,
        metadata_errors="replace",  # titles need not be UTF-8
    )


def _find_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the stream that players show."""
    # cover art is stored as a video stream of one picture
    films = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    stream = container.streams.best("video")
    if stream not in films:
        stream = films[0] if films else None
    if not isinstance(stream, VideoStream):
        raise VideoDecodeError.of(name, "it contains no video stream", "unreadable")
    if stream.codec_context is None:
        raise VideoDecodeError.of(name, "its codec is unknown", "disallowed_format")
    codec = stream.codec.canonical_name
    if codec not in CODECS:
        reason = f"its codec {codec} is not among the supported ones"
        raise VideoDecodeError.of(name, reason, "disallowed_format")
    if stream.width * stream.height > MAX_PIXELS:
        size = f"{stream.width} × {stream.height}"
        raise VideoDecodeError.of(name, f"its frames of {size} are too large", "too_large")
    return stream


def _check_regular(path: Path, name: str) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise VideoDecodeError.of(name, "there is no such file", "missing") from None
    except OSError as error:
        raise VideoDecodeError.of(name, str(error.strerror).lower(), "unreadable") from None
    if not stat.S_ISREG(mode):
        raise VideoDecodeError.of(name, "it is not a regular file", "unreadable")
