"""Base class of videos whose frames are accessed by index: encoded files or folders of pictures.

The index of a frame is its position in presentation order, counted from 0.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor

from pks4_lightning.data.video.errors import FewerFramesError
from pks4_lightning.data.video.pytorchvideo_compat import Video as VideoInterface

__all__ = ["FrameSource", "Resize", "UntimedFrames", "resized"]

_FRAMES_PER_SECOND = 25

Resize: TypeAlias = int | tuple[int, int]
"""Length of the shorter side, or (height, width), in pixels."""


class FrameSource(VideoInterface):
    """A video whose frames are accessed by index.

    Implements pytorchvideo's ``Video``, so that its samplers and datasets accept it; the loader of
    this package uses :meth:`frames`. There is never any audio.
    """

    num_frames: int
    """Number of frames; an upper bound if only decoding can tell."""
    _times: Float64[np.ndarray, " num_frames"]
    """When each frame is shown, in seconds from the start of the first one, increasing."""

    @property
    def times(self) -> Float64[np.ndarray, " num_frames"]:
        """When each frame is shown, in seconds from the start of the first one, increasing."""
        return self._times

    @property
    @abstractmethod
    def name(self) -> str:
        """Name used in messages."""

    @abstractmethod
    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these indices.

        Args:
            indices: Frame indices from 0 to ``num_frames - 1``, in any order, repeats allowed.
            resize: Scaling, after rotation.

        Returns:
            RGB frames in the order of ``indices``.

        Raises:
            FewerFramesError: If the video ends before the last of them.
            VideoDecodeError: If the data is damaged, or frames are too large or differ in size.
            IndexError: If an index is out of range.
        """

    def in_order(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
        """Decode frames one after the other, in constant memory.

        Args:
            indices: Frame indices, increasing.
            resize: As in :meth:`frames`.

        Yields:
            Each index with its RGB frame.

        Raises:
            FewerFramesError: If the video ends before the last of them.
            VideoDecodeError: If the data is damaged, or frames are too large.
        """
        for index in indices:
            yield index, self.frames([index], resize)[0].numpy()

    def frames_between(self, start_sec: float | Fraction, end_sec: float | Fraction) -> range:
        """Return the indices of the frames whose display starts in this span.

        Args:
            start_sec: Seconds from the first frame; included.
            end_sec: Seconds from the first frame; excluded.

        Returns:
            A range of at least one frame: if none starts within the span, the one on screen at its
            beginning.
        """
        # pytorchvideo's samplers sum fractions of seconds; time stamps are rounded to ticks
        tolerance = 1e-6
        times = self.times
        first = int(np.searchsorted(times, float(start_sec) - tolerance, side="left"))
        end = int(np.searchsorted(times, float(end_sec) - tolerance, side="left"))
        if end > first:
            return range(first, end)
        shown = min(max(first - 1, 0), self.num_frames - 1)
        return range(shown, shown + 1)

    def frames_at(self, seconds: Sequence[float]) -> tuple[int, ...]:
        """Return the index of the frame on screen at each of these times.

        Args:
            seconds: Seconds from the first frame. Earlier times give the first frame, later ones
                the last.
        """
        tolerance = 1e-6  # as in frames_between
        shown = np.searchsorted(self.times, np.asarray(seconds) + tolerance, side="right") - 1
        return tuple(np.clip(shown, 0, self.num_frames - 1).tolist())

    def get_clip(
        self, start_sec: float | Fraction, end_sec: float | Fraction
    ) -> dict[str, Tensor | None]:
        """Return every frame of a time span, in the form of pytorchvideo's interface.

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

    def _check_range(self, indices: Sequence[int]) -> None:
        if not indices or min(indices) < 0 or max(indices) >= self.num_frames:
            raise IndexError(
                f"Frames {list(indices)} are out of range for a video with {self.num_frames} "
                "frames."
            )


class UntimedFrames(FrameSource):
    """Frames without time stamps, of which 25 per second are assumed."""

    @property
    def times(self) -> Float64[np.ndarray, " num_frames"]:
        """When each frame is shown, in seconds."""
        return np.arange(self.num_frames) / _FRAMES_PER_SECOND

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_frames / _FRAMES_PER_SECOND


def resized(height: int, width: int, resize: Resize | None) -> tuple[int, int]:
    """Return the height and width of a frame after ``resize``.

    Args:
        height: Height before, in pixels.
        width: Width before, in pixels.
        resize: An integer keeps the aspect ratio. ``None`` changes nothing.
    """
    if resize is None:
        return height, width
    if isinstance(resize, int):
        short = min(height, width)
        return round(height * resize / short), round(width * resize / short)
    return resize[0], resize[1]
