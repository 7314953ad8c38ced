"""Selective scan, the linear recurrence at the core of a selective state space model.

Reference:
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
    https://arxiv.org/abs/2312.00752, Equation 4 and Algorithm 2.

Dimensions:
    S: sequences scanned in parallel (clips x patch locations)
    T: time steps, one per frame
    E: inner channels
    N: state size per channel
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["scan_backend", "selective_scan"]

# Bytes of state a slab of sequences may hold. On a CPU a slab that stays in the cache is up to
# twice as fast as one slab for everything (measured at S=256, T=8, E=1536, N=16, and S=512, T=8,
# E=128, N=8, on one thread); a GPU wants few and large kernels.
_CPU_SLAB_BYTES = 8 * 2**20
_GPU_SLAB_BYTES = 512 * 2**20


def selective_scan(
    u: Float[Tensor, "S T E"],
    delta: Float[Tensor, "S T E"],
    A: Float[Tensor, "E N"],
    B: Float[Tensor, "S T N"],
    C: Float[Tensor, "S T N"],
    D: Float[Tensor, " E"] | None = None,
) -> Float[Tensor, "S T E"]:
    r"""Run the selective state space recurrence along time.

    For every sequence and channel, with :math:`x_0 = 0`,

    .. math::
        x_t &= \exp(\Delta_t A)\, x_{t-1} + \Delta_t B_t u_t \\
        y_t &= \langle C_t, x_t \rangle + D u_t

    ``A`` is discretised by zero-order hold and ``B`` by the first-order (Euler) rule, as in the
    released Mamba code. The recurrence is causal: ``y[:, t]`` depends on ``u[:, : t + 1]`` only.

    Only the inputs are kept for the backward pass, which recomputes the states for a few
    sequences at a time: memory beyond inputs and gradients does not grow with ``S``. Derivatives
    of the gradients are not implemented.

    Args:
        u: Input stream.
        delta: Step size per frame, positive (softplus already applied), dimensionless. A larger
            step forgets more of the old state and writes more of the new frame.
        A: Decay rates, negative, usually ``-exp(A_log)``. ``delta * A`` is the log-decay per frame.
        B: Input (write) matrix per time step, shared by all channels.
        C: Output (read) matrix per time step, shared by all channels.
        D: Skip weight per channel. ``None`` means no skip path.

    Returns:
        The output stream, in the dtype of ``u``. The state is accumulated in at least float32,
        under autocast too.

    Raises:
        ValueError: If ``u`` has no time steps.

    Example:
        With instant forgetting (``A`` very negative) the scan passes its input through.

        >>> ones = torch.ones(1, 3, 1)
        >>> forget = torch.full((1, 1), -1e9)
        >>> selective_scan(u=ones, delta=ones, A=forget, B=ones, C=ones).squeeze()
        tensor([1., 1., 1.])
    """
    if u.shape[1] == 0:
        raise ValueError(
            f"selective_scan needs at least one time step, got u of shape {tuple(u.shape)}."
        )
    if D is None:
        D = u.new_zeros(u.shape[-1])
    return _scan(u, delta, A, B, C, D)


def scan_backend(device: torch.device) -> Literal["torch"]:  # noqa: ARG001 - one backend so far
    """Name the implementation that :func:`selective_scan` runs on a device.

    Args:
        device: Where the inputs lie.
    """
    return "torch"


# Operators of their own, so that torch.compile takes each loop below as one call.
@torch.library.custom_op("pks4::selective_scan", mutates_args=())
def _scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    acc_dtype = torch.promote_types(u.dtype, torch.float32)
    # N before E: the long axis is the contiguous one, which is what broadcasting is fast at
    A_NE, D_E = A.to(acc_dtype).t().contiguous(), D.to(acc_dtype)
    with torch.autocast(u.device.type, enabled=False):
        # a state, its successor, the decay and the write live at a time
        for slab in _slabs(u, bytes_per_sequence=4 * A_NE.nbytes):
            u_TSE, delta_TSE, B_TSN, C_TSN = _time_first(slab, acc_dtype, u, delta, B, C)
            x_SNE = torch.zeros((), dtype=acc_dtype, device=u.device)
            for t in range(u.shape[1]):
                x_SNE = _decay(delta_TSE[t], A_NE) * x_SNE
                x_SNE += _outer(B_TSN[t], delta_TSE[t] * u_TSE[t])
                y[slab, t] = (_contract(C_TSN[t], x_SNE) + D_E * u_TSE[t]).to(u.dtype)
    return y


@torch.library.custom_op("pks4::selective_scan_backward", mutates_args=())
def _scan_backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    du, ddelta, dA, dB, dC, dD = (
        torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (u, delta, A, B, C, D)
    )
    acc_dtype = torch.promote_types(u.dtype, torch.float32)
    A_NE, D_E = A.to(acc_dtype).t().contiguous(), D.to(acc_dtype)
    dA_NE, dD_E = torch.zeros_like(A_NE), torch.zeros_like(D_E)
    with torch.autocast(u.device.type, enabled=False):
        # the decays and the states of all frames live at a time
        for slab in _slabs(u, bytes_per_sequence=2 * u.shape[1] * A_NE.nbytes):
            inputs = _time_first(slab, acc_dtype, dy, u, delta, B, C)
            gradients = _slab_gradients(*inputs, A_NE=A_NE, D_E=D_E, dA_NE=dA_NE)
            for whole, part in zip((du, ddelta, dB, dC), gradients, strict=True):
                whole[slab] = part.to(whole.dtype)
            dD_E += (inputs[0] * inputs[1]).sum((0, 1))
    return du, ddelta, dA.copy_(dA_NE.t()), dB, dC, dD.copy_(dD_E)


def _slab_gradients(
    dy_TSE: Tensor,
    u_TSE: Tensor,
    delta_TSE: Tensor,
    B_TSN: Tensor,
    C_TSN: Tensor,
    *,
    A_NE: Tensor,
    D_E: Tensor,
    dA_NE: Tensor,
) -> list[Tensor]:
    """Return du, ddelta, dB and dC of one slab, sequences first, and add to ``dA_NE`` in place."""
    decays, states = _recompute(u_TSE, delta_TSE, A_NE, B_TSN)
    du, ddelta, dB, dC = [], [], [], []
    from_later_SNE = torch.zeros_like(A_NE)
    for t in reversed(range(len(states))):
        dy_SE, u_SE, delta_SE = dy_TSE[t], u_TSE[t], delta_TSE[t]
        dx_SNE = _outer(C_TSN[t], dy_SE)
        dx_SNE += from_later_SNE
        dC.append((states[t] * dy_SE.unsqueeze(-2)).sum(-1))
        dB.append((dx_SNE * (delta_SE * u_SE).unsqueeze(-2)).sum(-1))
        dwrite_SE = _contract(B_TSN[t], dx_SNE)
        du.append(D_E * dy_SE + dwrite_SE * delta_SE)
        ddelta_SE = dwrite_SE * u_SE
        if t > 0:
            from_later_SNE = dx_SNE.mul_(decays[t])
            dlog_decay_SNE = from_later_SNE * states[t - 1]
            dA_NE += (dlog_decay_SNE * delta_SE.unsqueeze(-2)).sum(0)
            ddelta_SE += dlog_decay_SNE.mul_(A_NE).sum(1)
        ddelta.append(ddelta_SE)
    return [torch.stack(gradient[::-1], dim=1) for gradient in (du, ddelta, dB, dC)]


def _recompute(
    u_TSE: Tensor, delta_TSE: Tensor, A_NE: Tensor, B_TSN: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the decays and the states of every frame."""
    decays: list[Tensor] = []
    states: list[Tensor] = []
    for t in range(u_TSE.shape[0]):
        decay_SNE = _decay(delta_TSE[t], A_NE)
        x_SNE = _outer(B_TSN[t], delta_TSE[t] * u_TSE[t])
        if states:
            x_SNE.addcmul_(decay_SNE, states[-1])
        decays.append(decay_SNE)
        states.append(x_SNE)
    return decays, states


def _slabs(u: Tensor, bytes_per_sequence: int) -> Iterator[slice]:
    bound = _CPU_SLAB_BYTES if u.device.type == "cpu" else _GPU_SLAB_BYTES
    size = max(1, bound // bytes_per_sequence)
    for start in range(0, u.shape[0], size):
        yield slice(start, start + size)


def _time_first(slab: slice, dtype: torch.dtype, *tensors: Tensor) -> list[Tensor]:
    return [x[slab].transpose(0, 1).to(dtype).contiguous() for x in tensors]


def _decay(delta_SE: Tensor, A_NE: Tensor) -> Tensor:
    return (delta_SE.unsqueeze(-2) * A_NE).exp_()


def _outer(x_SN: Tensor, y_SE: Tensor) -> Tensor:
    return x_SN.unsqueeze(-1) * y_SE.unsqueeze(-2)


def _contract(x_SN: Tensor, y_SNE: Tensor) -> Tensor:
    return (x_SN.unsqueeze(-2) @ y_SNE).squeeze(-2)


@_scan.register_fake
def _(u: Tensor, *_others: Tensor) -> Tensor:
    return torch.empty(u.shape, dtype=u.dtype, device=u.device)


@_scan_backward.register_fake
def _(_dy: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in inputs)


def _keep_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001 torch passes it by name
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
    return _scan_backward(dy, *ctx.saved_tensors)


def _refuse(*_: Any) -> None:
    raise NotImplementedError(
        "selective_scan has no second derivative: differentiate its gradients numerically."
    )


_scan.register_autograd(_differentiate, setup_context=_keep_inputs)
_scan_backward.register_autograd(_refuse)
