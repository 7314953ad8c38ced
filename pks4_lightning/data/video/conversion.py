"""Convert decoded frames to RGB, scaled and rotated, in one pass of FFmpeg's scaler."""

from collections.abc import Sequence

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.frame_source import Resize, resized
from pks4_lightning.data.video.orientation import UPRIGHT, Orientation, frame_orientation

__all__ = ["RgbConverter", "stacked", "upright_size"]


class RgbConverter:
    """Converts the frames of one video to RGB.

    Frames with non-square pixels stay as stored, as in other frame readers.

    Args:
        apply_rotation: Rotate and mirror frames by their display matrix, as players do.
    """

    size: tuple[int, int] | None = None
    """Height and width of the video, in pixels: of the first frame, unless set before."""

    def __init__(self, *, apply_rotation: bool) -> None:
        self._apply_rotation = apply_rotation
        self._scaler = VideoReformatter()

    def convert(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Convert, scale and rotate one frame.

        Args:
            frame: The decoded frame. If its size differs from the video's, it is scaled to that.
            resize: Scaling, after rotation.
        """
        if self.size is None:
            self.size = self.size_of(frame)
        return self.convert_to(resized(*self.size, resize), frame, self._orientation(frame))

    def convert_to(
        self, size: tuple[int, int], frame: av.VideoFrame, orientation: Orientation
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Convert a frame, scale it and apply a given orientation.

        Args:
            size: Resulting height and width, in pixels.
            frame: The decoded frame.
            orientation: The orientation to apply.
        """
        height, width = reversed(size) if orientation.swaps_sides else size
        return orientation.apply(self._scaled(frame, height, width))

    def size_of(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Return the height and width of a frame as displayed."""
        return upright_size(frame, self._orientation(frame))

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        return frame_orientation(frame) if self._apply_rotation else UPRIGHT

    def _scaled(
        self, frame: av.VideoFrame, height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Convert and scale a frame in one thread; by default, the scaler starts one per core."""
        if (height, width) == (frame.height, frame.width):
            return self._scaler.reformat(frame, format="rgb24", threads=1).to_ndarray()
        # packed pixels take over twice as long, and at some widths come out 2 levels too dark
        scaled = self._scaler.reformat(
            frame, width, height, "gbrp", interpolation="BILINEAR", threads=1
        )
        planes = np.empty((3, height, width), np.uint8)
        for channel, plane in zip((1, 2, 0), scaled.planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
            planes[channel] = rows[:, :width]
        return planes.transpose(1, 2, 0)


def upright_size(frame: av.VideoFrame, orientation: Orientation) -> tuple[int, int]:
    """Return the height and width of a frame after rotation."""
    if orientation.swaps_sides:
        return frame.width, frame.height
    return frame.height, frame.width


def stacked(pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> UInt8[Tensor, "T H W 3"]:
    """Stack pictures of one size, copying each once."""
    if pictures[0].strides[-1] == 1:
        return torch.from_numpy(np.stack(pictures))
    planes = np.stack([picture.transpose(2, 0, 1) for picture in pictures])
    return torch.from_numpy(planes).permute(0, 2, 3, 1)
