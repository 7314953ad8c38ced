"""Part of a video, used like a whole video."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor

from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.data.video.frame_source import FrameSource, Resize

__all__ = ["Span", "SpanOfVideo", "Unit"]

Unit: TypeAlias = Literal["seconds", "frames"]

_MOST_BEYOND = 1.0
"""Tolerated excess of an annotated end over the video's end, in seconds: people and tools round."""


class Span(NamedTuple):
    """Start and end, as annotated."""

    start: float
    """Seconds from the first frame, or the index of the first frame, counted from 0."""
    end: float
    """The end, in the same unit; excluded."""
    unit: Unit = "seconds"

    def __str__(self) -> str:
        """Return the span as a media fragment, which is appended to the video's name."""
        start, end = (repr(float(bound)).removesuffix(".0") for bound in self[:2])
        return f"#{'t' if self.unit == 'seconds' else 'frames'}={start},{end}"


class SpanOfVideo(FrameSource):
    """The frames whose display starts within a span of a video, counted from 0.

    Args:
        video: The whole video.
        span: The part of it to use.

    Raises:
        VideoDecodeError: If the span begins after the end of the video, or ends more than a second
            after it.
    """

    def __init__(self, video: FrameSource, span: Span) -> None:
        self.video = video
        self.span = span
        self._numbers = range(0)
        self._cut_out()

    @property
    def name(self) -> str:
        """Name used in messages."""
        return f"{self.video.name}{self.span}"

    @property
    def times(self) -> Float64[np.ndarray, " num_frames"]:
        """When each frame is shown, in seconds from the span's first frame."""
        times = self.video.times[self._numbers.start : self._numbers.stop]
        return times - times[0]

    @property
    def duration(self) -> float:
        """Seconds from the start of the first frame to the start of the frame after the span."""
        times, end = self.video.times, self._numbers.stop
        stop = float(times[end]) if end < len(times) else self.video.duration
        return stop - float(times[self._numbers.start])

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these indices; see :meth:`FrameSource.frames`."""
        self._check_range(indices)
        try:
            return self.video.frames([self._numbers[index] for index in indices], resize)
        except FewerFramesError:
            self._cut_out()
            raise

    def _cut_out(self) -> None:
        start, end, unit = self.span
        length = self.video.duration if unit == "seconds" else float(self.video.num_frames)
        spare = _MOST_BEYOND * (1.0 if unit == "seconds" else length / self.video.duration)
        if start >= length or end > length + spare:
            raise VideoDecodeError.of(
                self.video.name,
                f"its annotated interval from {start:g} to {end:g} {unit} lies outside the video, "
                f"which has {length:.6g} {unit}",
            )
        if unit == "seconds":
            self._numbers = self.video.frames_between(start, end)
        else:
            stop = max(int(end), int(start) + 1)  # fractions may lie within one frame
            self._numbers = range(int(start), min(stop, self.video.num_frames))
        self.num_frames = len(self._numbers)
