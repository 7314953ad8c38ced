"""Normalise pixels for the model, and undo it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pks4_lightning.batch import Colour

__all__ = ["Normalisation"]


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation used to normalise clips.

    Args:
        mean: RGB, for values from 0 to 1.
        std: RGB.
    """

    mean: Colour
    std: Colour

    def normalise(self, video: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B 3 T H W"]:
        """Return clips as the model sees them.

        Args:
            video: Values from 0 to 1.
        """
        mean, std = self._as_tensors(video)
        return (video - mean) / std

    def to_pixels(self, video: Float[Tensor, "B 3 T H W"]) -> UInt8[Tensor, "B T H W 3"]:
        """Undo the normalisation, for display.

        Args:
            video: Clips as the model sees them.
        """
        mean, std = self._as_tensors(video)
        pixels = ((video * std + mean) * 255).round().clamp(0, 255)
        return pixels.permute(0, 2, 3, 4, 1).to(torch.uint8)

    def _as_tensors(self, video: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (video.new_tensor(value).view(3, 1, 1, 1) for value in (self.mean, self.std))
        return mean, std
