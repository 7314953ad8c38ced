"""The selective scan of a stream: processes a few frames from a given state.

Dimensions:
    S: sequences (streams x patch locations), on any number of axes
    T: time steps, one per frame
    E: inner channels
    N: state size per channel
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["selective_scan_steps"]


def selective_scan_steps(
    u: Float[Tensor, "*S T E"],
    delta: Float[Tensor, "*S T E"],
    A: Float[Tensor, "E N"],
    B: Float[Tensor, "*S T N"],
    C: Float[Tensor, "*S T N"],
    D: Float[Tensor, " E"],
    *,
    delta_bias: Float[Tensor, " E"] | None,
    gate: Float[Tensor, "*S T E"] | None,
    state: Float[Tensor, "*S E N"],
    exists: Float[Tensor, "*S T"] | None = None,
) -> tuple[Float[Tensor, "*S T E"], Float[Tensor, "*S E N"]]:
    """Continue the recurrence of :func:`~pks4_lightning.ops.scan.selective_scan.selective_scan`.

    It uses plain arithmetic: one frame of a stream is limited by reading and writing the state,
    which a kernel could not avoid. Only autograd's own values are kept for a backward pass.

    Args:
        u: Input stream.
        delta: Step size per frame; with a bias, the input of the softplus before adding it.
        A: Decay rates, negative.
        B: Input (write) matrix per frame.
        C: Output (read) matrix per frame.
        D: Skip weight per channel.
        delta_bias: Added to ``delta`` before the softplus. ``None`` uses ``delta`` unchanged.
        gate: Stream whose SiLU multiplies the output. ``None`` means no gate.
        state: State after the previous frames, in at least float32; zero at the start.
        exists: 1 for existing frames. Other frames leave the state unchanged, and their output is
            meaningless. ``None`` means that all frames exist.

    Returns:
        The output stream in the dtype of ``u``, and the state after the last frame.
    """
    dtype = torch.promote_types(u.dtype, torch.float32)
    u_STE, delta_STE = u.to(dtype), delta.to(dtype)
    if delta_bias is not None:
        delta_STE = F.softplus(delta_STE + delta_bias.to(dtype))
    A_EN, B_STN, C_STN = A.to(dtype), B.to(dtype), C.to(dtype)
    ys = []
    for t in range(u.shape[-2]):
        delta_SE = delta_STE[..., t, :]
        decay_SEN = torch.exp(delta_SE.unsqueeze(-1) * A_EN)
        write_SEN = (delta_SE * u_STE[..., t, :]).unsqueeze(-1) * B_STN[..., t, :].unsqueeze(-2)
        after = decay_SEN * state + write_SEN
        if exists is not None:
            after = torch.where(exists[..., t, None, None] > 0, after, state)
        state = after
        ys.append((state * C_STN[..., t, :].unsqueeze(-2)).sum(-1))
    y_STE = torch.stack(ys, dim=-2) + D.to(dtype) * u_STE
    if gate is not None:
        y_STE = y_STE * F.silu(gate.to(dtype))
    return y_STE.to(u.dtype), state
