"""Crop, flip and resize 8-bit clips in the loader's workers.

Dimensions:
    T: frames
    H, W: pixels before cropping
    S: side of the square that the model sees, in pixels
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from pks4_lightning.ranges import check_at_least

__all__ = [
    "Augmentation",
    "CropBox",
    "crop_clip",
    "random_crop_box",
    "spatial_crop_box",
]

CropBox = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training clips. Each draw applies to all frames of a clip.

    Args:
        scale: Smallest and largest area of the random crop, as a share of the frame.
        ratio: Smallest and largest aspect ratio (width over height) of the crop.
        flip: Probability of a horizontal flip.
        flip_label_pairs: Pairs of classes that a flip turns into each other, by name, or by index
            if the names mirror each other. ``null`` finds them by name: classes that differ by left
            and right, or by clockwise and anticlockwise; a class without a counterpart is then
            never flipped. An empty list swaps none.
        reverse: Probability of playing a clip backwards.
        reverse_label_pairs: Pairs of classes that reversal turns into each other, by name or index;
            a class that stays the same is paired with itself; unpaired classes are never reversed.
        grayscale: Probability of conversion to grey.
        randaugment_num_ops: Operations drawn per clip; 0 disables RandAugment.
        randaugment_magnitude: Mean strength of an operation, 0 to 10.
        randaugment_std: Standard deviation of the strength.
        randaugment_probability: Probability that a drawn operation is applied.

    Raises:
        ValueError: If a probability or range is invalid.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    flip_label_pairs: list[tuple[int | str, int | str]] | None = None
    reverse: float = 0.0
    reverse_label_pairs: list[tuple[int | str, int | str]] | None = None
    grayscale: float = 0.0
    randaugment_num_ops: int = 0
    randaugment_magnitude: float = 7.0
    randaugment_std: float = 0.5
    randaugment_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("flip", "reverse", "grayscale", "randaugment_probability"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(
                    f"augmentation.{name} is {value}; it must be a probability from 0 to 1."
                )
        if self.reverse and not self.reverse_label_pairs:
            raise ValueError(
                f"augmentation.reverse is {self.reverse}, but augmentation.reverse_label_pairs "
                "is empty: only clips of paired classes are reversed."
            )
        for name, most in (("scale", 1.0), ("ratio", math.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most:
                raise ValueError(
                    f"augmentation.{name} is {low} to {high}; it must be an increasing range above "
                    f"0{f' and up to {most:g}' if most < math.inf else ''}."
                )
        names = ("randaugment_num_ops", "randaugment_std")
        check_at_least(0, {f"augmentation.{name}": getattr(self, name) for name in names})
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ValueError(
                f"augmentation.randaugment_magnitude is {self.randaugment_magnitude}; "
                "it must lie between 0 and 10."
            )


def random_crop_box(
    height: int, width: int, augmentation: Augmentation, draw: torch.Generator
) -> CropBox:
    """Draw a crop with uniform area and uniform logarithmic aspect ratio.

    After ten draws that do not fit into the frame, the largest centred crop of an allowed aspect
    ratio is taken.

    Args:
        height: Height of the frame, in pixels.
        width: Width of the frame, in pixels.
        augmentation: Provides ``scale`` and ``ratio``.
        draw: Source of every random choice.
    """
    (small, large), (narrow, wide) = augmentation.scale, augmentation.ratio
    for _ in range(10):
        area_share, ratio_share, top_share, left_share = torch.rand(
            4, generator=draw, dtype=torch.float64
        ).tolist()
        area = height * width * (small + (large - small) * area_share)
        ratio = narrow * (wide / narrow) ** ratio_share
        crop_height, crop_width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < crop_height <= height and 0 < crop_width <= width:
            top = int(top_share * (height - crop_height + 1))
            left = int(left_share * (width - crop_width + 1))
            return top, left, crop_height, crop_width
    ratio = min(max(width / height, narrow), wide)
    crop_height = min(height, max(1, round(width / ratio)))
    crop_width = min(width, max(1, round(height * ratio)))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def spatial_crop_box(
    height: int, width: int, *, size: int, crop_index: int, num_crops: int
) -> CropBox:
    """Place square test crops along the longer side: left, centre and right for three of them.

    A single crop is the centre. Along the shorter side, all crops are centred. If the frame is
    smaller than ``size``, the side of the squares is its shorter side.

    Args:
        height: Height of the frame, in pixels.
        width: Width of the frame, in pixels.
        size: Side of the square, in pixels.
        crop_index: Index of the crop; 0 is the leftmost (or topmost) one.
        num_crops: Crops along the longer side.

    Raises:
        ValueError: If there is no crop, or none of that index.
    """
    check_at_least(1, {"num_crops": num_crops})
    if not 0 <= crop_index < num_crops:
        raise ValueError(f"crop_index is {crop_index}; it must be from 0 to {num_crops - 1}.")
    side = min(size, height, width)
    spare = max(height, width) - side
    along = spare // 2 if num_crops == 1 else round(spare * crop_index / (num_crops - 1))
    across = (min(height, width) - side) // 2
    return (across, along, side, side) if width >= height else (along, across, side, side)


def crop_clip(
    frames: UInt8[Tensor, "T H W 3"], box: CropBox, *, size: int, flip: bool = False
) -> UInt8[Tensor, "3 T S S"]:
    """Cut a box out of every frame and resize it, bilinearly and with antialiasing.

    Args:
        frames: RGB frames.
        box: The box to cut out.
        size: Side of the resulting square, in pixels.
        flip: Mirror left and right.
    """
    top, left, height, width = box
    cut = frames[:, top : top + height, left : left + width].permute(0, 3, 1, 2)
    if (height, width) != (size, size):
        cut = F.interpolate(cut, size=(size, size), mode="bilinear", antialias=True)
    if flip:
        cut = cut.flip(-1)
    return cut.transpose(0, 1).contiguous()
