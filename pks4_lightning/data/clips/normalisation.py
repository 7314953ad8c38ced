"""What happens to clips on the device, and how to undo it for a person to look at."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pks4_lightning.batch import VideoBatch
from pks4_lightning.data.clips.randaugment import augment_clips
from pks4_lightning.data.clips.transforms import Augmentation

__all__ = ["DeviceSide"]

_Colour = tuple[float, float, float]


class DeviceSide:
    """The part of the data module that works on whole batches of 8-bit clips."""

    augmentation: Augmentation
    mean: _Colour
    """RGB, for values from 0 to 1."""
    std: _Colour

    def to_model_input(self, batch: VideoBatch, *, training: bool) -> Tensor:
        """Return a batch's clips as the model sees them: augmented if ``training``, normalised.

        Args:
            batch: Clips of 8-bit values, on any device.
            training: Apply the random augmentations.
        """
        video = batch["video"].float() / 255
        if training:
            video = augment_clips(video, batch["draw_seed"], self.augmentation, fill=self.mean)
        mean, std = (video.new_tensor(value).view(3, 1, 1, 1) for value in (self.mean, self.std))
        return (video - mean) / std

    def to_pixels(self, video: Float[Tensor, "B C T H W"]) -> UInt8[Tensor, "B T H W C"]:
        """Undo the normalisation, for a person to look at.

        Args:
            video: Clips as the model sees them.
        """
        mean, std = (video.new_tensor(value).view(3, 1, 1, 1) for value in (self.mean, self.std))
        pixels = ((video * std + mean) * 255).round().clamp(0, 255)
        return pixels.permute(0, 2, 3, 4, 1).to(torch.uint8)
