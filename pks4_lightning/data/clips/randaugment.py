"""RandAugment and grayscale on 8-bit frames in the loader's workers, equal for all of a clip.

References:
    Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
    2019, https://arxiv.org/abs/1909.13719.
    ATM, whose recipe the paper follows, uses timm's ``rand-m7-n4-mstd0.5-inc1``: four operations
    drawn with replacement, each applied with probability 0.5, at a strength drawn from a normal
    distribution, in the variant in which a greater strength always means a greater change. It
    precedes the crop: warps act on the whole frame, and equalize and autocontrast use the levels of
    the whole frame.

The operations are Pillow's. Warps are bilinear; uncovered pixels are grey.

Dimensions:
    T: frames
    H, W: pixels
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from pks4_lightning.data.clips.transforms import Augmentation

__all__ = ["OPERATIONS", "grayscale", "randaugment"]

Operation = Callable[[Image.Image, float, float], Image.Image]
"""Maps picture, strength from 0 to 1, and sign to a picture."""

_GREY = (128, 128, 128)


def randaugment(
    frames: UInt8[Tensor, "T H W 3"], augmentation: Augmentation, draw: torch.Generator
) -> UInt8[Tensor, "T H W 3"]:
    """Apply a few random operations, the same to every frame.

    Args:
        frames: Whole frames, before the crop.
        augmentation: Number, strength and probability of the operations.
        draw: Source of every random choice.

    Returns:
        The frames; the input itself if no operation is applied.
    """
    drawn = [_draw(augmentation, draw) for _ in range(augmentation.randaugment_num_ops)]
    steps = [step for step in drawn if step is not None]
    if not steps:
        return frames
    changed = []
    for frame in frames.numpy():
        picture = Image.fromarray(frame)
        for operation, strength, sign in steps:
            picture = operation(picture, strength, sign)
        changed.append(np.asarray(picture))
    return torch.from_numpy(np.stack(changed))


def grayscale(frames: UInt8[Tensor, "T H W 3"]) -> UInt8[Tensor, "T H W 3"]:
    """Convert to grey, with the luma of ITU-R 601.

    Args:
        frames: RGB frames.
    """
    gray = [np.asarray(Image.fromarray(frame).convert("L")) for frame in frames.numpy()]
    return torch.from_numpy(np.stack(gray))[..., None].expand_as(frames)


def _draw(
    augmentation: Augmentation, draw: torch.Generator
) -> tuple[Operation, float, float] | None:
    """Draw an operation, its strength and its sign; ``None`` if it is not applied."""
    chosen = int(torch.randint(len(OPERATIONS), (), generator=draw))
    happens, side = torch.rand(2, generator=draw).tolist()
    offset = float(torch.randn((), generator=draw)) * augmentation.randaugment_std
    if happens >= augmentation.randaugment_probability:
        return None
    strength = min(max(augmentation.randaugment_magnitude + offset, 0.0), 10.0) / 10
    return list(OPERATIONS.values())[chosen], strength, 1.0 if side < 0.5 else -1.0


def _auto_contrast(picture: Image.Image, _strength: float, _sign: float) -> Image.Image:
    return ImageOps.autocontrast(picture)


def _equalize(picture: Image.Image, _strength: float, _sign: float) -> Image.Image:
    return ImageOps.equalize(picture)


def _invert(picture: Image.Image, _strength: float, _sign: float) -> Image.Image:
    return ImageOps.invert(picture)


def _rotate(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    angle = 30 * strength * sign
    return picture.rotate(angle, resample=Image.Resampling.BILINEAR, fillcolor=_GREY)


def _posterize(picture: Image.Image, strength: float, _sign: float) -> Image.Image:
    bits = 4 - int(4 * strength)  # may be 0, which Pillow's own function refuses
    return picture.point([value & ~(2 ** (8 - bits) - 1) for value in range(256)] * 3)


def _solarize(picture: Image.Image, strength: float, _sign: float) -> Image.Image:
    return ImageOps.solarize(picture, threshold=256 - int(256 * strength))


def _solarize_add(picture: Image.Image, strength: float, _sign: float) -> Image.Image:
    added = int(110 * strength)
    return picture.point([min(v + added, 255) if v < 128 else v for v in range(256)] * 3)


def _color(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return ImageEnhance.Color(picture).enhance(_factor(strength, sign))


def _contrast(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(_factor(strength, sign))


def _brightness(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(_factor(strength, sign))


def _sharpness(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return ImageEnhance.Sharpness(picture).enhance(_factor(strength, sign))


def _shear_x(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _affine(picture, (1, 0.3 * strength * sign, 0, 0, 1, 0))


def _shear_y(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _affine(picture, (1, 0, 0, 0.3 * strength * sign, 1, 0))


def _translate_x(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _affine(picture, (1, 0, 0.45 * strength * sign * picture.width, 0, 1, 0))


def _translate_y(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _affine(picture, (1, 0, 0, 0, 1, 0.45 * strength * sign * picture.height))


def _factor(strength: float, sign: float) -> float:
    """Return a factor that is 1 at strength 0 and 0.1 or 1.9 at strength 1."""
    return 1 + 0.9 * strength * sign


def _affine(picture: Image.Image, source: tuple[float, ...]) -> Image.Image:
    """Take output pixel (x, y) from (ax + by + c, dx + ey + f); the origin is the top left."""
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        source,
        resample=Image.Resampling.BILINEAR,
        fillcolor=_GREY,
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
