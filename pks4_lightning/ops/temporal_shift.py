"""Shift along time, the primitive of all operators that use neighbouring frames.

Dimensions:
    B: clips
    T: frames
"""

from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["context_offsets", "shift_frames"]


def context_offsets(
    context_frames: int,
    *,
    causal: bool = False,
    zero_context: Literal["self", "previous"] = "self",
) -> list[int]:
    """List the temporal offsets of a neighbourhood: around a frame, or before it.

    Args:
        context_frames: Number of neighbouring frames, half of them on each side; even and not
            negative. 4 gives -2, -1, 0, 1, 2 (Section 4.2 and Table 8 of the PKS^4 paper).
        causal: Use the same number of frames, all of them earlier: -4, -3, -2, -1, 0.
        zero_context: The single offset for ``context_frames`` 0: 0, or -1.

    Returns:
        The ``context_frames + 1`` offsets in ascending order, without a gap.

    Raises:
        ValueError: If ``context_frames`` is odd or negative.
    """
    if context_frames < 0 or context_frames % 2:
        raise ValueError(
            f"context_frames ({context_frames}) must be even and not negative: half of the frames "
            f"lie before a frame and half after it."
        )
    if not context_frames and zero_context == "previous":
        return [-1]
    last = 0 if causal else context_frames // 2
    return list(range(last - context_frames, last + 1))


def shift_frames(x: Shaped[Tensor, "B T *rest"], offset: int) -> Shaped[Tensor, "B T *rest"]:
    """Give every frame the content of the frame ``offset`` later.

    Args:
        x: Any tensor with clips on axis 0 and frames on axis 1.
        offset: Number of frames to look ahead; negative values look back.

    Returns:
        ``y`` with ``y[:, t] = x[:, t + offset]``, zero where ``t + offset`` is not in the clip.
    """
    num_frames = x.shape[1]
    num_beyond = min(abs(offset), num_frames)
    beyond = x.new_zeros(x.shape[0], num_beyond, *x.shape[2:])
    if offset >= 0:
        return torch.cat([x[:, num_beyond:], beyond], dim=1)
    return torch.cat([beyond, x[:, : num_frames - num_beyond]], dim=1)
