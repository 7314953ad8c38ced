"""Frames of an encoded video by their number, decoded with PyAV.

The number of a frame is its place in presentation order, counted from 0. Headers are not asked how
many frames there are (WebM says 0, others may lie): packets are counted, and the count is put right
when decoding ends early. Frames are decoded in order up to the last one wanted, and only the wanted
ones are converted to RGB and scaled, in one pass of FFmpeg's scaler.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Float64, UInt8
from torch import Tensor

from pks4_lightning.data.pytorchvideo_compat import Video as VideoInterface

__all__ = ["VIDEO_SUFFIXES", "FewerFramesError", "Resize", "Video", "VideoDecodeError", "resized"]

Resize: TypeAlias = int | tuple[int, int]
"""Length of the shorter side, or (height, width), in pixels."""

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})

# Anything else FFmpeg can open, playlists above all, may name and open further files.
_OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi",
    "protocol_whitelist": "file",
}
# fmt: off
_CODECS = frozenset({
    "av1", "flv1", "h263", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4",
    "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "vp8", "vp9", "wmv1", "wmv2",
})
# fmt: on
_MAX_PIXELS = 4096 * 2304
_FALLBACK_FRAME_RATE = Fraction(25)


class VideoDecodeError(ValueError):
    """A video that cannot be opened or decoded; the message names the file and the reason."""

    def __init__(self, message: str) -> None:
        # torch's loader wraps the message in the worker's traceback; its last line is the sentence
        super().__init__(message.rstrip().rpartition("DecodeError: ")[2])


class FewerFramesError(Exception):
    """Decoding ended before a frame that the packet count had promised.

    ``Video.num_frames`` is right from then on; choose frames anew.
    """


def resized(height: int, width: int, resize: Resize | None) -> tuple[int, int]:
    """Return the height and width that a frame has after ``resize``.

    Args:
        height: Height before, in pixels.
        width: Width before, in pixels.
        resize: A whole number keeps the aspect ratio. ``None`` changes nothing.
    """
    if resize is None:
        return height, width
    if isinstance(resize, int):
        short = min(height, width)
        return round(height * resize / short), round(width * resize / short)
    return resize[0], resize[1]


class Video(VideoInterface):
    """A video file whose frames are asked for by number.

    Implements pytorchvideo's ``Video``, so its samplers and datasets can work on it; the loader of
    this package uses :meth:`frames`. Audio is never decoded.

    Args:
        file: Path, or an open binary file. A file stays the caller's to close.
        video_name: Name used in messages; the path where absent.
        decode_audio: Part of the interface; must be False.
        apply_rotation: Turn frames as the file's display matrix says, as players do.

    Raises:
        VideoDecodeError: If the file is absent, is of no supported container or codec, has frames
            of more than 4096 × 2304 pixels, or contains no video frames.
    """

    def __init__(
        self,
        file: str | PathLike[str] | BinaryIO,
        video_name: str | None = None,
        decode_audio: bool = False,
        *,
        apply_rotation: bool = True,
    ) -> None:
        if decode_audio:
            raise ValueError("decode_audio must be False: this Video has no sound.")
        if isinstance(file, (str, PathLike)):
            self._file: Path | BinaryIO = Path(file).absolute()
            self._name = video_name or str(file)
        else:
            self._file = file
            self._name = video_name or str(getattr(file, "name", "video"))
        self._apply_rotation = apply_rotation
        self._times = self._presentation_times()
        self.num_frames = len(self._times)
        """Frames in the video; an upper bound until decoding has confirmed it."""

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float(self._times[-1]) + float(self._frame_seconds)

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these numbers.

        Args:
            indices: Frame numbers from 0 to ``num_frames - 1``, in any order, repeats allowed.
            resize: Scaling, after rotation.

        Returns:
            RGB frames in the order of ``indices``.

        Raises:
            FewerFramesError: If the video ends before the last of them.
            VideoDecodeError: If the decoder refuses the data.
            IndexError: If a number is out of range.
        """
        if not indices or min(indices) < 0 or max(indices) >= self.num_frames:
            raise IndexError(f"Frames {list(indices)} of a video with {self.num_frames} frames.")
        wanted, last = set(indices), max(indices)
        pictures: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        decoded = 0
        with self._opened() as (container, stream):
            for frame in container.decode(stream):
                if decoded in wanted:
                    pictures[decoded] = self._to_rgb(frame, resize)
                decoded += 1
                if decoded > last:
                    break
        if decoded <= last:
            if decoded == 0:
                raise self._error("none of its frames can be decoded")
            self.num_frames = decoded
            self._times = self._times[:decoded]
            raise FewerFramesError(f"'{self._name}' ends after {decoded} frames.")
        return torch.from_numpy(np.stack([pictures[index] for index in indices]))

    def frames_between(self, start_sec: float | Fraction, end_sec: float | Fraction) -> range:
        """Return the numbers of the frames shown first in this span.

        Args:
            start_sec: Seconds from the first frame; included.
            end_sec: Seconds from the first frame; excluded.

        Returns:
            A range that holds at least one frame: where none starts within the span, the one on
            screen at its beginning.
        """
        # pytorchvideo's samplers add up fractions of seconds; time stamps are rounded to ticks
        tolerance = 1e-6
        first = int(np.searchsorted(self._times, float(start_sec) - tolerance, side="left"))
        end = int(np.searchsorted(self._times, float(end_sec) - tolerance, side="left"))
        if end > first:
            return range(first, end)
        shown = min(max(first - 1, 0), self.num_frames - 1)
        return range(shown, shown + 1)

    def get_clip(
        self, start_sec: float | Fraction, end_sec: float | Fraction
    ) -> dict[str, Tensor | None]:
        """Return every frame of a span of time, as pytorchvideo's interface has it.

        Args:
            start_sec: Seconds from the first frame; included.
            end_sec: Seconds from the first frame; excluded.

        Returns:
            ``video``, float32 of shape (3, frames, height, width) from 0 to 255, and ``audio``,
            which is ``None``.
        """
        while True:
            try:
                pictures = self.frames(self.frames_between(start_sec, end_sec))
            except FewerFramesError:
                continue
            return {"video": pictures.permute(3, 0, 1, 2).float(), "audio": None}

    def _error(self, reason: str) -> VideoDecodeError:
        return VideoDecodeError(f"Cannot decode video '{self._name}': {reason}.")

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """Open the file anew, from its beginning, with what FFmpeg reports turned into ours."""
        source: Any = self._file
        if isinstance(source, Path):
            if not source.is_file():
                raise self._error("there is no such file")
            source = str(source)
        else:
            source.seek(0)
        try:
            with av.open(source, options=_OPTIONS) as container:
                yield container, self._video_stream(container)
        except av.error.FFmpegError as error:
            reason = error.strerror or type(error).__name__
            raise self._error(reason[:1].lower() + reason[1:]) from error

    def _video_stream(self, container: InputContainer) -> VideoStream:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream):
            raise self._error("it contains no video stream")
        codec = stream.codec.canonical_name
        if codec not in _CODECS:
            raise self._error(f"its codec {codec} is not among the supported ones")
        if stream.width * stream.height > _MAX_PIXELS:
            raise self._error(f"its frames of {stream.width} × {stream.height} are too large")
        # workers are processes already, and a multi-threaded decoder can hang at their end
        stream.codec_context.thread_count = 1
        return stream

    def _presentation_times(self) -> Float64[np.ndarray, " frames"]:
        """Read all packets without decoding; return when each frame is shown, in seconds."""
        with self._opened() as (container, stream):
            stamps = [
                packet.pts
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            rate = stream.average_rate or stream.guessed_rate or _FALLBACK_FRAME_RATE
            time_base = stream.time_base
        if not stamps:
            raise self._error("it contains no video frames")
        self._frame_seconds = 1 / rate
        known = [stamp for stamp in stamps if stamp is not None]
        if len(known) < len(stamps) or time_base is None:
            return np.arange(len(stamps)) / float(rate)
        ticks = np.sort(np.asarray(known, dtype=np.int64))
        return (ticks - ticks[0]) * float(time_base)

    def _to_rgb(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Convert, scale and turn one frame."""
        quarters = round(frame.rotation / 90) % 4 if self._apply_rotation else 0
        height, width = frame.height, frame.width
        if quarters % 2:
            height, width = width, height
        height, width = resized(height, width, resize)
        if quarters % 2:
            height, width = width, height
        picture = frame.to_ndarray(
            format="rgb24", height=height, width=width, interpolation="BILINEAR"
        )
        return np.rot90(picture, quarters) if quarters else picture
