"""The selective scan in plain PyTorch: runs anywhere, in bounded memory.

The backward pass is the recurrence differentiated by hand. With the write ``w = delta * u`` and the
gradient ``q`` that reaches a state through its successor:

    g[t] = C[t] dy[t] + q[t + 1]    dC[t] = <dy[t], x[t]> over E    dw[t] = <B[t], g[t]> over N
    q[t] = exp(delta[t] A) g[t]     dB[t] = <w[t], g[t]> over E     dlog_decay[t] = q[t] x[t - 1]

Dimensions:
    S: sequences scanned in parallel (clips x patch locations)
    T: time steps, one per frame
    E: inner channels
    N: state size per channel
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["scan_backward", "scan_forward"]

# Bytes of state a slab of sequences may hold. On a CPU a pass over a slab should find it in the
# cache and yet be long beside the call of an operator; a GPU wants few and large kernels.
_CPU_SLAB_BYTES = 8 * 2**20
_GPU_SLAB_BYTES = 512 * 2**20


def scan_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """Return the output of :func:`~pks4_lightning.ops.selective_scan.selective_scan`."""
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    acc_dtype = torch.promote_types(u.dtype, torch.float32)
    A_NE, D_E = _state_major(A, acc_dtype), D.to(acc_dtype)
    rate_NE = _halvings(A_NE)
    with torch.autocast(u.device.type, enabled=False):
        for slab, (x_SNE, decay_SNE) in _slabs(u.shape[0], like=A_NE, num_states=2):
            u_STE, delta_STE, B_STN, C_STN = (z[slab].to(acc_dtype) for z in (u, delta, B, C))
            write_STE = delta_STE * u_STE
            y_TSE = _time_first(u_STE)
            for t in range(u.shape[1]):
                write = B_STN[:, t].unsqueeze(-1), write_STE[:, t].unsqueeze(1)
                if t == 0:
                    torch.mul(*write, out=x_SNE)
                else:
                    torch.mul(delta_STE[:, t].unsqueeze(1), rate_NE, out=decay_SNE).exp2_()
                    x_SNE.mul_(decay_SNE).addcmul_(*write)
                _bmm(C_STN[:, t], x_SNE, out=y_TSE[t])
            y[slab] = torch.addcmul(y_TSE.transpose(0, 1), D_E, u_STE)
    return y


def scan_backward(
    dy: Tensor, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of u, delta, A, B, C and D, for the gradient ``dy`` of the output."""
    du, ddelta, dA, dB, dC, dD = (
        torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (u, delta, A, B, C, D)
    )
    acc_dtype = torch.promote_types(u.dtype, torch.float32)
    A_NE, D_E = _state_major(A, acc_dtype), D.to(acc_dtype)
    dA_NE, dD_E = torch.zeros_like(A_NE), torch.zeros_like(D_E)
    with torch.autocast(u.device.type, enabled=False):
        # the states and decays of all frames, and the gradients of one state and of A
        num_states = 2 * u.shape[1] + 2
        for slab, workspace in _slabs(u.shape[0], like=A_NE, num_states=num_states):
            streams = [z[slab].to(acc_dtype) for z in (dy, u, delta, B, C)]
            dy_STE, u_STE, delta_STE = streams[:3]
            states, decays, dx_SNE, dA_SNE = _split(workspace, u.shape[1])
            dC[slab] = _recompute(states, decays, A_NE, *streams[:4])
            dwrite_STE, ddelta_STE, dB[slab] = _sweep_back(
                states, decays, A_NE, *streams, dx_SNE=dx_SNE, dA_SNE=dA_SNE
            )
            du[slab] = torch.addcmul(D_E * dy_STE, dwrite_STE, delta_STE)
            ddelta[slab] = ddelta_STE.addcmul_(dwrite_STE, u_STE)
            dA_NE += dA_SNE.sum(0)
            dD_E += (dy_STE * u_STE).sum((0, 1))
    return du, ddelta, dA.copy_(dA_NE.t()), dB, dC, dD.copy_(dD_E)


def _recompute(
    states_TSNE: Tensor,
    decays_TSNE: Tensor,
    A_NE: Tensor,
    dy_STE: Tensor,
    u_STE: Tensor,
    delta_STE: Tensor,
    B_STN: Tensor,
) -> Tensor:
    """Fill in the states and decays of every frame, the first decay excepted; return dC."""
    rate_NE, write_STE = _halvings(A_NE), delta_STE * u_STE
    dC_TSN = _time_first(B_STN)
    for t, (x_SNE, decay_SNE) in enumerate(zip(states_TSNE, decays_TSNE, strict=True)):
        write = B_STN[:, t].unsqueeze(-1), write_STE[:, t].unsqueeze(1)
        if t == 0:
            torch.mul(*write, out=x_SNE)
        else:
            torch.mul(delta_STE[:, t].unsqueeze(1), rate_NE, out=decay_SNE).exp2_()
            torch.mul(decay_SNE, states_TSNE[t - 1], out=x_SNE).addcmul_(*write)
        # the state as the right factor: many times faster than as the left one
        _bmm(dy_STE[:, t], x_SNE.mT, out=dC_TSN[t])
    return dC_TSN.transpose(0, 1)


def _sweep_back(
    states_TSNE: Tensor,
    decays_TSNE: Tensor,
    A_NE: Tensor,
    dy_STE: Tensor,
    u_STE: Tensor,
    delta_STE: Tensor,
    B_STN: Tensor,
    C_STN: Tensor,
    *,
    dx_SNE: Tensor,
    dA_SNE: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fill in dA; return the gradients of the writes, of delta through the decays, and of B.

    The decays are overwritten.
    """
    write_STE = delta_STE * u_STE
    dwrite_TSE, ddelta_TSE, dB_TSN = map(_time_first, (write_STE, write_STE, B_STN))
    dx_SNE.zero_()
    dA_SNE.zero_()
    for t in reversed(range(dy_STE.shape[1])):
        dx_SNE.addcmul_(C_STN[:, t].unsqueeze(-1), dy_STE[:, t].unsqueeze(1))
        _bmm(write_STE[:, t], dx_SNE.mT, out=dB_TSN[t])
        _bmm(B_STN[:, t], dx_SNE, out=dwrite_TSE[t])
        if t > 0:
            dx_SNE.mul_(decays_TSNE[t])
            dlog_decay_SNE = torch.mul(dx_SNE, states_TSNE[t - 1], out=decays_TSNE[t])
            dA_SNE.addcmul_(dlog_decay_SNE, delta_STE[:, t].unsqueeze(1))
            torch.sum(dlog_decay_SNE.mul_(A_NE), 1, out=ddelta_TSE[t])
    ddelta_TSE[0] = 0
    return dwrite_TSE.transpose(0, 1), ddelta_TSE.transpose(0, 1), dB_TSN.transpose(0, 1)


def _slabs(num_sequences: int, *, like: Tensor, num_states: int) -> Iterator[tuple[slice, Tensor]]:
    """Cut the sequences into slabs, each with room for so many tensors ``like`` per sequence."""
    bound = _CPU_SLAB_BYTES if like.device.type == "cpu" else _GPU_SLAB_BYTES
    size = min(num_sequences, max(1, bound // (num_states * like.nbytes)))
    workspace = like.new_empty(num_states, size, *like.shape)
    for start in range(0, num_sequences, max(1, size)):
        end = min(start + size, num_sequences)
        yield slice(start, end), workspace[:, : end - start]


def _split(workspace: Tensor, num_steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return workspace[:num_steps], workspace[num_steps:-2], workspace[-2], workspace[-1]


def _time_first(x_STX: Tensor) -> Tensor:
    num_sequences, num_steps, width = x_STX.shape
    return x_STX.new_empty(num_steps, num_sequences, width)


def _bmm(x_SK: Tensor, y_SKM: Tensor, *, out: Tensor) -> None:
    """Multiply a row by a matrix, sequence by sequence; ``out`` must be contiguous to be fast."""
    torch.bmm(x_SK.unsqueeze(1), y_SKM, out=out.unsqueeze(1))


def _state_major(A: Tensor, dtype: torch.dtype) -> Tensor:
    """Return A with N first: the long axis is contiguous, which is what broadcasting likes."""
    return A.to(dtype).t().contiguous()


def _halvings(A_NE: Tensor) -> Tensor:
    """Return the decay rate to base 2: on a CPU exp2 is almost three times as fast as exp."""
    return A_NE * math.log2(math.e)
