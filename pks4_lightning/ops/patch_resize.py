"""Resize patches with the pseudo-inverse, so that one patch embedding serves all patch sizes.

Reference:
    Beyer et al., "FlexiViT: One Model for All Patch Sizes", 2023,
    https://arxiv.org/abs/2212.08013, Section 3.4, Equation 3.

Dimensions:
    I: images
    C: channels
    H, W: pixels before resizing
    P: patches, rows or columns
    p, q: side of a patch before and after, in pixels
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.autocast import without_autocast

__all__ = ["patch_resize_matrix", "patch_size_of", "resize_patches"]


def patch_size_of(height: int, width: int, *, grid_size: int | None, own_size: int) -> int:
    """Return the side of the patches that a model cuts frames into.

    Args:
        height: Height of the frames, in pixels.
        width: Width of the frames, in pixels.
        grid_size: Rows and columns of patches, whatever the size of the frames. ``None``: patches
            have the model's own size.
        own_size: Patch size that the model's weights were made for.

    Raises:
        ValueError: If a fixed grid does not divide the frames.
    """
    if grid_size is None:
        return own_size
    if height != width or height % grid_size:
        raise ValueError(
            f"Frames of {height}x{width} pixels cannot be cut into {grid_size}x{grid_size} square "
            f"patches: they must be square, and their side a multiple of {grid_size}."
        )
    return height // grid_size


def resize_patches(
    frames: Float[Tensor, "I C H W"], *, patch_size: int, weight_size: int
) -> Float[Tensor, "I C H2 W2"]:
    r"""Resize patches of one size for weights of another size.

    FlexiViT resizes weights :math:`w` of side q to side p such that a patch x of side q and its
    bicubic resize :math:`B x` of side p give the same token, as nearly as can be:

    .. math::
        w_p = \arg\min_v\, \mathbb{E}_x
              \left(\langle w, x \rangle - \langle v, B x \rangle\right)^2
            = P^\top w, \qquad P = B^+

    for white x, and without error if p is at least q. Because
    :math:`\langle P^\top w, x_p \rangle = \langle w, P x_p \rangle`, P can be applied to the
    patches instead of the weights, which is what this function does. There is then one parameter of
    one shape for all patch sizes, with a direct gradient. The resize is separable: P acts on rows
    and on columns in turn.

    Args:
        frames: Images that patches cover exactly.
        patch_size: Side p of the patches in ``frames``.
        weight_size: Side q of the weights that will read them. Equal sizes change nothing.

    Returns:
        Images with as many patches of side q, in the dtype of ``frames``; computed in at least
        float32, whatever the autocast.

    Raises:
        ValueError: If patches do not cover the images exactly.

    Example:
        The weights below expect patches of 2×2 pixels; for one of 4×4 they give the same sum.

        >>> weights = torch.ones(1, 1, 2, 2)
        >>> fitted = resize_patches(torch.full((1, 1, 4, 4), 3.0), patch_size=4, weight_size=2)
        >>> F.conv2d(fitted, weights).round(decimals=4).item()
        12.0
    """
    height, width = frames.shape[-2:]
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"Frames of {height}x{width} pixels cannot be cut into patches of {patch_size}x"
            f"{patch_size}: height and width must be multiples of {patch_size}."
        )
    if patch_size == weight_size:
        return frames
    x = frames.to(torch.promote_types(frames.dtype, torch.float32))
    matrix = patch_resize_matrix(patch_size, weight_size).to(x)
    with without_autocast(frames.device):
        x = (x.unflatten(-1, (-1, patch_size)) @ matrix.T).flatten(-2)
        x = x.transpose(-1, -2)
        x = (x.unflatten(-1, (-1, patch_size)) @ matrix.T).flatten(-2)
        return x.transpose(-1, -2).to(frames.dtype)


@torch.compiler.disable  # compiled code takes the matrix as an input; the inversion is not traced
@lru_cache(maxsize=64)
def patch_resize_matrix(patch_size: int, weight_size: int) -> Float[Tensor, "q p"]:
    """Return the pseudo-inverse of the bicubic, antialiased resize of one axis.

    Args:
        patch_size: Pixels p after the resize.
        weight_size: Pixels q before the resize.

    Returns:
        P, with q rows and p columns, float64 on the CPU; cached, so it must not be modified.
    """
    pixels = torch.eye(weight_size, dtype=torch.float64, device="cpu")[None, None]
    bicubic = F.interpolate(pixels, size=(patch_size, weight_size), mode="bicubic", antialias=True)
    return torch.linalg.pinv(bicubic[0, 0])
