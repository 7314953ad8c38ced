"""Initial values of the parameters of a selective state space model.

Reference:
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
    https://arxiv.org/abs/2312.00752, Section 3.6.

Dimensions:
    E: inner channels
    N: state size per channel
    R: rank of the step size projection
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["init_state_space"]


@torch.no_grad()
def init_state_space(
    *,
    A_log: Float[Tensor, "E N"],
    D: Float[Tensor, " E"],
    dt_weight: Float[Tensor, "E R"],
    dt_bias: Float[Tensor, " E"],
    dt_min: float = 0.001,
    dt_max: float = 0.1,
) -> None:
    """Initialise parameters as in Mamba, in place.

    Args:
        A_log: ``log(1 ... N)`` for every channel: decay rates of -1 ... -N.
        D: Set to 1, which makes the skip path the identity.
        dt_weight: Uniform, so that the projection keeps the variance of its input.
        dt_bias: Set so that its softplus is log-uniform from ``dt_min`` to ``dt_max``.
        dt_min: Smallest step size, positive.
        dt_max: Largest step size.
    """
    A_log.copy_(torch.arange(1, A_log.shape[1] + 1).log().expand_as(A_log))
    D.fill_(1.0)
    bound = dt_weight.shape[1] ** -0.5
    dt_weight.uniform_(-bound, bound)
    log_delta = torch.empty_like(dt_bias).uniform_(math.log(dt_min), math.log(dt_max))
    delta = log_delta.exp()
    # the inverse of softplus
    dt_bias.copy_(delta + torch.log(-torch.expm1(-delta)))
