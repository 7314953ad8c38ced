"""Differences between a frame and its neighbours.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Equation 17.

Dimensions:
    B: clips
    T: frames
    O: temporal offsets, ``context_frames + 1``
    C: channels
    H, W: patch grid
"""

import torch
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.temporal_shift import context_offsets, shift_frames

__all__ = ["temporal_variation"]


def temporal_variation(
    x: Float[Tensor, "B T C H W"], *, context_frames: int, causal: bool = False
) -> Float[Tensor, "B T O C H W"]:
    r"""Subtract every frame from each of its neighbours.

    .. math::
        \Delta_{t,\tau}(p) = f_{t+\tau}(p) - f_t(p)

    A neighbour beyond the clip answers with zero, as in :func:`local_correlation`: a difference
    with a frame that does not exist would show motion at the ends of a static clip.

    Args:
        x: Features on the patch grid.
        context_frames: Number of neighbouring frames, even; 0 leaves the frame itself, whose
            difference is zero.
        causal: See earlier frames only, as many.

    Returns:
        The differences, offsets in ascending order. That of the frame with itself is zero; it
        stands in the middle, or last where ``causal``.

    Raises:
        ValueError: If ``context_frames`` is odd or negative.

    Example:
        Brightness 0, 1, 3 over three frames, seen with one neighbour on each side.

        >>> clip = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1, 1, 1)
        >>> temporal_variation(clip, context_frames=2).view(3, 3)
        tensor([[ 0.,  0.,  1.],
                [-1.,  0.,  2.],
                [-2.,  0.,  0.]])
    """
    exists = x.new_ones(1, x.shape[1], 1, 1, 1)
    differences = [
        shift_frames(x, offset) - shift_frames(exists, offset) * x
        for offset in context_offsets(context_frames, causal=causal)
    ]
    return torch.stack(differences, dim=2)
