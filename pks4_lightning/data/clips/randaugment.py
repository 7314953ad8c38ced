"""Augmentation on the device: RandAugment and grayscale, the same for all frames of a clip.

Reference:
    Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
    2019, https://arxiv.org/abs/1909.13719.

The strengths are those known as ``rand-m7-n4-mstd0.5-inc1``: operations drawn with replacement,
each carried out with probability 0.5, at a strength drawn from a normal distribution, in the
variant in which a greater strength always changes the picture more. The operations are kornia's.
What differs from the original on 8-bit pictures: values stay real numbers between operations, warps
are always bilinear, and uncovered pixels take the mean colour of the normalisation.

Dimensions:
    B: clips
    T: frames
    H, W: pixels
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.seeding import generator

__all__ = ["OPERATIONS", "augment_clips"]

Operation = Callable[[Tensor, float, float, Tensor], Tensor]
"""Frames, strength from 0 to 1, sign, fill colour to frames."""


def augment_clips(
    video: Float[Tensor, "B 3 T H W"],
    draw_seed: Int[Tensor, " B"],
    augmentation: Augmentation,
    *,
    fill: Sequence[float],
) -> Float[Tensor, "B 3 T H W"]:
    """Apply RandAugment and grayscale to clips with values from 0 to 1.

    Args:
        video: Clips.
        draw_seed: What the draws of each clip depend on, and nothing else.
        augmentation: Probabilities and strengths.
        fill: RGB colour of uncovered pixels, 0 to 1.

    Returns:
        Clips with values from 0 to 1; the input where nothing is switched on.
    """
    if augmentation.randaugment_num_ops == 0 and augmentation.grayscale == 0:
        return video
    colour = torch.tensor(list(fill), dtype=video.dtype, device=video.device)
    clips = []
    for clip, seed in zip(video, draw_seed.tolist(), strict=True):
        draw = generator("device", seed)
        frames = clip.transpose(0, 1)
        for _ in range(augmentation.randaugment_num_ops):
            frames = _random_operation(frames, augmentation, draw, colour)
        if float(torch.rand((), generator=draw)) < augmentation.grayscale:
            frames = _gray(frames)
        clips.append(frames.transpose(0, 1))
    return torch.stack(clips)


def _random_operation(
    frames: Tensor, augmentation: Augmentation, draw: torch.Generator, fill: Tensor
) -> Tensor:
    chosen = int(torch.randint(len(OPERATIONS), (), generator=draw))
    happens, side = torch.rand(2, generator=draw).tolist()
    offset = float(torch.randn((), generator=draw)) * augmentation.randaugment_std
    if happens >= augmentation.randaugment_probability:
        return frames
    strength = min(max(augmentation.randaugment_magnitude + offset, 0.0), 10.0) / 10
    sign = 1.0 if side < 0.5 else -1.0
    operation = list(OPERATIONS.values())[chosen]
    return operation(frames, strength, sign, fill).clamp(0, 1)


def _gray(frames: Tensor) -> Tensor:
    from kornia.color import rgb_to_grayscale

    return rgb_to_grayscale(frames).expand_as(frames)


def _auto_contrast(frames: Tensor, _strength: float, _sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import normalize_min_max

    return normalize_min_max(frames)


def _equalize(frames: Tensor, _strength: float, _sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import equalize

    return equalize(frames)


def _invert(frames: Tensor, _strength: float, _sign: float, _fill: Tensor) -> Tensor:
    return 1 - frames


def _posterize(frames: Tensor, strength: float, _sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import posterize

    return posterize(frames, 4 - int(4 * strength))


def _solarize(frames: Tensor, strength: float, _sign: float, _fill: Tensor) -> Tensor:
    return torch.where(frames < 1 - strength, frames, 1 - frames)


def _solarize_add(frames: Tensor, strength: float, _sign: float, _fill: Tensor) -> Tensor:
    return torch.where(frames < 0.5, frames + 110 / 255 * strength, frames)


def _color(frames: Tensor, strength: float, sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import adjust_saturation_with_gray_subtraction

    return adjust_saturation_with_gray_subtraction(frames, _factor(strength, sign))


def _contrast(frames: Tensor, strength: float, sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import adjust_contrast_with_mean_subtraction

    return adjust_contrast_with_mean_subtraction(frames, _factor(strength, sign))


def _brightness(frames: Tensor, strength: float, sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import adjust_brightness_accumulative

    return adjust_brightness_accumulative(frames, _factor(strength, sign))


def _sharpness(frames: Tensor, strength: float, sign: float, _fill: Tensor) -> Tensor:
    from kornia.enhance import sharpness

    return sharpness(frames, _factor(strength, sign))


def _rotate(frames: Tensor, strength: float, sign: float, fill: Tensor) -> Tensor:
    angle = math.radians(30 * strength * sign)
    cos, sin = math.cos(angle), math.sin(angle)
    return _warp(frames, ((cos, sin), (-sin, cos)), (0.0, 0.0), fill)


def _shear_x(frames: Tensor, strength: float, sign: float, fill: Tensor) -> Tensor:
    return _warp(frames, ((1.0, 0.3 * strength * sign), (0.0, 1.0)), (0.0, 0.0), fill)


def _shear_y(frames: Tensor, strength: float, sign: float, fill: Tensor) -> Tensor:
    return _warp(frames, ((1.0, 0.0), (0.3 * strength * sign, 1.0)), (0.0, 0.0), fill)


def _translate_x(frames: Tensor, strength: float, sign: float, fill: Tensor) -> Tensor:
    shift = 0.45 * strength * sign * frames.shape[-1]
    return _warp(frames, ((1.0, 0.0), (0.0, 1.0)), (shift, 0.0), fill)


def _translate_y(frames: Tensor, strength: float, sign: float, fill: Tensor) -> Tensor:
    shift = 0.45 * strength * sign * frames.shape[-2]
    return _warp(frames, ((1.0, 0.0), (0.0, 1.0)), (0.0, shift), fill)


def _factor(strength: float, sign: float) -> float:
    """Factor that is 1 at strength 0 and reaches 0.1 or 1.9 at strength 1."""
    return 1 + 0.9 * strength * sign


def _warp(
    frames: Tensor,
    linear: tuple[tuple[float, float], tuple[float, float]],
    shift: tuple[float, float],
    fill: Tensor,
) -> Tensor:
    """Map pixel positions by ``linear`` about the centre, then move them by ``shift`` (x, y)."""
    from kornia.geometry.transform import warp_affine

    height, width = frames.shape[-2:]
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    matrix = torch.tensor(linear, dtype=torch.float32)
    offset = centre - matrix @ centre + torch.tensor(shift)
    affine = torch.cat([matrix, offset[:, None]], dim=1).to(frames)
    return warp_affine(
        frames,
        affine.expand(len(frames), 2, 3),
        (height, width),
        padding_mode="fill",
        fill_value=fill,
    )


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": _invert,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
