"""Stochastic depth: drop a residual branch for some samples in training.

Reference:
    Huang et al., "Deep Networks with Stochastic Depth", 2016, https://arxiv.org/abs/1603.09382.
"""

import torch
from torch import Tensor

__all__ = ["drop_path"]


def drop_path(branch: Tensor, rate: float, *, training: bool) -> Tensor:
    """Set the branch to zero for a share of the samples, and scale the others up.

    Args:
        branch: The update of a residual stream, samples on the first axis.
        rate: Probability that a sample is dropped, from 0 to below 1.
        training: Off: the branch is returned unchanged.

    Returns:
        The branch, whose mean over draws equals the input.
    """
    if not training or rate == 0:
        return branch
    kept = torch.rand(len(branch), *(1,) * (branch.ndim - 1), device=branch.device) >= rate
    return branch * (kept / (1 - rate)).to(branch.dtype)
