"""From decoded frames to RGB: conversion, scaling and turning in one pass of FFmpeg's scaler."""

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

    Pixels that are not square stay as they are stored, as with other readers of frames.

    Args:
        apply_rotation: Turn and mirror frames as their display matrix says, as players do.
    """

    size: tuple[int, int] | None = None
    """Height and width of the video, in pixels: of the first frame, unless it is set before."""

    def __init__(self, *, apply_rotation: bool) -> None:
        self._apply_rotation = apply_rotation
        self._scaler = VideoReformatter()

    def convert(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Convert, scale and turn one frame.

        Args:
            frame: As decoded. One that has not the video's size is scaled to it, as players do.
            resize: Scaling, after rotation.
        """
        if self.size is None:
            self.size = self.size_of(frame)
        return self.convert_to(resized(*self.size, resize), frame, self._orientation(frame))

    def convert_to(
        self, size: tuple[int, int], frame: av.VideoFrame, orientation: Orientation
    ) -> UInt8[np.ndarray, "H W 3"]:
        """Convert a frame, scale it and lay it in a way of its own.

        Args:
            size: Height and width afterwards, in pixels.
            frame: As decoded.
            orientation: How it is to be turned.
        """
        height, width = reversed(size) if orientation.swaps_sides else size
        return orientation.apply(self._scaled(frame, height, width))

    def size_of(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Return the height and width of a frame as it is shown."""
        return upright_size(frame, self._orientation(frame))

    def _orientation(self, frame: av.VideoFrame) -> Orientation:
        return frame_orientation(frame) if self._apply_rotation else UPRIGHT

    def _scaled(
        self, frame: av.VideoFrame, height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Convert and scale a frame by one thread; the scaler would start one per core."""
        if (height, width) == (frame.height, frame.width):
            return self._scaler.reformat(frame, format="rgb24", threads=1).to_ndarray()
        # packed pixels take over twice the time, and at some widths come out 2 levels too dark
        scaled = self._scaler.reformat(
            frame, width, height, "gbrp", interpolation="BILINEAR", threads=1
        )
        planes = np.empty((3, height, width), np.uint8)
        for channel, plane in zip((1, 2, 0), scaled.planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
            planes[channel] = rows[:, :width]
        return planes.transpose(1, 2, 0)


def upright_size(frame: av.VideoFrame, orientation: Orientation) -> tuple[int, int]:
    """Return the height and width that a frame has once it is turned."""
    if orientation.swaps_sides:
        return frame.width, frame.height
    return frame.height, frame.width


def stacked(pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> UInt8[Tensor, "T H W 3"]:
    """Join pictures of one size, copying each once."""
    if pictures[0].strides[-1] == 1:
        return torch.from_numpy(np.stack(pictures))
    planes = np.stack([picture.transpose(2, 0, 1) for picture in pictures])
    return torch.from_numpy(planes).permute(0, 2, 3, 1)
