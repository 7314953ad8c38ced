"""Resize learned position embeddings, so that one network takes clips of any size and length.

Reference:
    Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, https://arxiv.org/abs/2010.11929,
    Section 3.2, for the grid; StretchySnake for time (one-dimensional, linear).

Dimensions:
    P: patches, row by row
    T: frames
    D: width
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.autocast import without_autocast

__all__ = ["resize_frame_positions", "resize_grid_positions"]


def resize_grid_positions(
    positions: Float[Tensor, "P D"], grid_size: tuple[int, int]
) -> Float[Tensor, "P2 D"]:
    """Interpolate the embeddings of a square grid of patches, bicubically.

    Args:
        positions: One embedding per patch.
        grid_size: Rows and columns of the new grid. An unchanged grid changes no bit.

    Returns:
        One embedding per patch of that grid, in the dtype of ``positions``, computed in at least
        float32.
    """
    side = math.isqrt(len(positions))
    if (side, side) == grid_size:
        return positions
    picture = positions.t().unflatten(1, (side, side)).unsqueeze(0)
    return _interpolate(picture, grid_size, "bicubic").flatten(2)[0].t()


def resize_frame_positions(
    positions: Float[Tensor, "T D"], num_frames: int
) -> Float[Tensor, "T2 D"]:
    """Interpolate the embeddings of frames, linearly.

    A frame is located at the middle of its part of the clip, whatever the number of parts; before
    the first and after the last middle, embeddings are constant.

    Args:
        positions: One embedding per frame.
        num_frames: New number of frames. An unchanged number changes no bit.

    Returns:
        One embedding per frame, in the dtype of ``positions``, computed in at least float32.

    Example:
        >>> resize_frame_positions(torch.tensor([[0.0], [4.0]]), 4).flatten()
        tensor([0., 1., 3., 4.])
    """
    if len(positions) == num_frames:
        return positions
    return _interpolate(positions.t().unsqueeze(0), (num_frames,), "linear")[0].t()


def _interpolate(x: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    at_least_float32 = x.to(torch.promote_types(x.dtype, torch.float32))
    with without_autocast(x.device):
        resized = F.interpolate(at_least_float32, size=size, mode=mode, align_corners=False)
    return resized.to(x.dtype)
