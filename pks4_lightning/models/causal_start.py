"""A causal classifier's start from one that looks both ways: the same shapes, other meanings.

A tap or an offset keeps its weight for the frame it meant where that frame is a past one. What
meant a later frame moves to the earliest places, further back than what meant the past: the order
by distance stays. That is a start for training, not the same function.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pks4_lightning.ops.temporal_shift import context_offsets

__all__ = ["as_causal_start"]

_TAPS = re.compile(r"class_route\.\d+\.before_\w+\.weight")
_JOIN = re.compile(r"pks4\.prior_encoder\.\w+\.aggregate\.join\.0\.0\.weight")


def as_causal_start(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Re-order what a classifier that looks both ways has learned per tap and per offset.

    Args:
        weights: Its state dict.

    Returns:
        A state dict for the same classifier with ``causal``. Taps (previous, same, next) become
        (two back, previous, same) with the weights of next, previous and same. Offsets
        -2, -1, 0, 1, 2 become -4 ... 0 with the weights of 2, -2, 1, -1, 0.
    """
    return {name: _reordered(name, weight) for name, weight in weights.items()}


def _reordered(name: str, weight: Tensor) -> Tensor:
    if _TAPS.fullmatch(name):
        previous, same, following = weight.unbind(-1)
        return torch.stack([following, previous, same], dim=-1)
    if _JOIN.fullmatch(name):
        num_offsets = weight.shape[1] // weight.shape[0]
        offsets = context_offsets(num_offsets - 1)
        # by distance, the past before the future at the same one; the nearest stands last
        nearest_last = sorted(offsets, key=lambda offset: (abs(offset), offset > 0), reverse=True)
        order = [offsets.index(offset) for offset in nearest_last]
        return weight.unflatten(1, (num_offsets, -1))[:, order].flatten(1, 2)
    return weight
