"""Frames in memory, read like a video."""

from collections.abc import Sequence

import av
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.conversion import RgbConverter, stacked
from pks4_lightning.data.video.frame_source import Resize, UntimedFrames

__all__ = ["FrameArray"]


class FrameArray(UntimedFrames):
    """Frames in memory, read like a video.

    Args:
        frames: RGB, 8 bits.
    """

    def __init__(self, frames: UInt8[np.ndarray, "T H W 3"]) -> None:
        self._frames = np.ascontiguousarray(frames)
        self._converter = RgbConverter(apply_rotation=False)
        self.num_frames = len(frames)

    @property
    def name(self) -> str:
        """Name used in messages."""
        return "array of frames"

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Scale the frames with these indices; see :meth:`FrameSource.frames`."""
        pictures = [av.VideoFrame.from_ndarray(self._frames[index]) for index in indices]
        return stacked([self._converter.convert(picture, resize) for picture in pictures])
