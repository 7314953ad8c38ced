"""The selective scan written as its formula: the slow reference for the fast versions.

Dimensions:
    S: sequences
    T: time steps
    E: inner channels
    N: state size per channel
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["selective_scan_naive"]


def selective_scan_naive(
    u: Float[Tensor, "S T E"],
    delta: Float[Tensor, "S T E"],
    A: Float[Tensor, "E N"],
    B: Float[Tensor, "S T N"],
    C: Float[Tensor, "S T N"],
    D: Float[Tensor, " E"] | None = None,
    *,
    delta_bias: Float[Tensor, " E"] | None = None,
    gate: Float[Tensor, "S T E"] | None = None,
) -> Float[Tensor, "S T E"]:
    """Run the recurrence one sequence, channel and frame at a time, in the dtype of ``u``.

    Args:
        u: Input stream; see :func:`~pks4_lightning.ops.scan.selective_scan.selective_scan`.
        delta: Step size.
        A: Decay rates.
        B: Input matrix.
        C: Output matrix.
        D: Skip weight.
        delta_bias: Makes the step size ``softplus(delta + delta_bias)``.
        gate: Stream whose SiLU multiplies the output.

    Returns:
        The output stream.
    """
    num_sequences, num_steps, num_channels = u.shape
    if delta_bias is not None:
        delta = F.softplus(delta + delta_bias)
    y = []
    for s in range(num_sequences):
        for e in range(num_channels):
            x = u.new_zeros(A.shape[1])
            for t in range(num_steps):
                x = torch.exp(delta[s, t, e] * A[e]) * x + delta[s, t, e] * B[s, t] * u[s, t, e]
                y.append(torch.dot(C[s, t], x) + (0 if D is None else D[e] * u[s, t, e]))
    y_STE = torch.stack(y).view(num_sequences, num_channels, num_steps).transpose(1, 2)
    return y_STE if gate is None else y_STE * F.silu(gate)
