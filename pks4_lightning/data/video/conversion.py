"""From decoded frames to RGB: conversion, scaling and turning in one pass of FFmpeg's scaler."""

from collections.abc import Sequence

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.frame_source import Resize, resized

__all__ = ["RgbConverter", "stacked"]


class RgbConverter:
    """Converts frames to RGB.

    Args:
        apply_rotation: Turn frames as their display matrix says, as players do.
    """

    def __init__(self, *, apply_rotation: bool) -> None:
        self._apply_rotation = apply_rotation
        self._scaler = VideoReformatter()

    def convert(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Convert, scale and turn one frame.

        Args:
            frame: As decoded.
            resize: Scaling, after rotation.
        """
        quarters = round(frame.rotation / 90) % 4 if self._apply_rotation else 0
        height, width = frame.height, frame.width
        if quarters % 2:
            height, width = width, height
        height, width = resized(height, width, resize)
        if quarters % 2:
            height, width = width, height
        picture = self._scaled(frame, height, width)
        return np.rot90(picture, quarters) if quarters else picture

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


def stacked(pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> UInt8[Tensor, "T H W 3"]:
    """Join pictures of one size, copying each once."""
    if pictures[0].strides[-1] == 1:
        return torch.from_numpy(np.stack(pictures))
    planes = np.stack([picture.transpose(2, 0, 1) for picture in pictures])
    return torch.from_numpy(planes).permute(0, 2, 3, 1)
