"""Differences between a frame and its neighbours.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Equation 17.

Dimensions:
    B: clips
    T: frames
    O: temporal offsets
    C: channels
    H, W: patch grid
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.temporal_shift import shift_frames

__all__ = ["temporal_variation"]


def temporal_variation(
    x: Float[Tensor, "B T C H W"],
    *,
    offsets: Sequence[int],
    ends: Literal["zero", "negative"] = "zero",
) -> Float[Tensor, "B T O C H W"]:
    r"""Subtract every frame from each of its neighbours.

    .. math::
        \Delta_{t,\tau}(p) = f_{t+\tau}(p) - f_t(p)

    Args:
        x: Features on the patch grid.
        offsets: Neighbours, in frames; see
            :func:`~pks4_lightning.ops.temporal_shift.context_offsets`.
        ends: The difference to a neighbour beyond the clip. ``zero``: zero, as in
            :func:`local_correlation`, so that a static clip shows no motion at its ends.
            ``negative``: ``-f``, as if the neighbour's features were zero.

    Returns:
        The differences, in the order of the offsets.

    Example:
        Brightness 0, 1, 3 over three frames, seen with one neighbour on each side.

        >>> clip = torch.tensor([0.0, 1.0, 3.0]).view(1, 3, 1, 1, 1)
        >>> temporal_variation(clip, offsets=(-1, 0, 1)).view(3, 3)
        tensor([[ 0.,  0.,  1.],
                [-1.,  0.,  2.],
                [-2.,  0.,  0.]])
    """
    if ends == "negative":
        return torch.stack([shift_frames(x, offset) - x for offset in offsets], dim=2)
    exists = x.new_ones(1, x.shape[1], 1, 1, 1)
    differences = [shift_frames(x, offset) - shift_frames(exists, offset) * x for offset in offsets]
    return torch.stack(differences, dim=2)
