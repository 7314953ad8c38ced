"""Initialise a causal classifier from one that uses past and future frames.

Both have the same shapes, but their taps and offsets have different meanings. Weights of past
frames are kept for the same frames. Weights of future frames move to the earliest positions,
further back than those of the past, so that the order by distance is kept. This is a starting point
for training, not the same function.
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
    """Reorder weights per tap and per offset for a causal classifier.

    Args:
        weights: State dict of the non-causal classifier.

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
        # sorted by distance, past before future at equal distance; the nearest comes last
        nearest_last = sorted(offsets, key=lambda offset: (abs(offset), offset > 0), reverse=True)
        order = [offsets.index(offset) for offset in nearest_last]
        return weight.unflatten(1, (num_offsets, -1))[:, order].flatten(1, 2)
    return weight
