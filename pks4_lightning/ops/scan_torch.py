"""The selective scan in plain PyTorch: runs anywhere, in bounded memory.

Dimensions:
    S: sequences scanned in parallel (clips x patch locations)
    T: time steps, one per frame
    E: inner channels
    N: state size per channel
"""

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["scan_backward", "scan_forward"]

# Bytes of state a slab of sequences may hold. On a CPU a slab that stays in the cache is up to
# twice as fast as one slab for everything (measured at S=256, T=8, E=1536, N=16, and S=512, T=8,
# E=128, N=8, on one thread); a GPU wants few and large kernels.
_CPU_SLAB_BYTES = 8 * 2**20
_GPU_SLAB_BYTES = 512 * 2**20


def scan_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """Return the output of :func:`~pks4_lightning.ops.selective_scan.selective_scan`."""
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


def scan_backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of u, delta, A, B, C and D, for the gradient ``dy`` of the output."""
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
