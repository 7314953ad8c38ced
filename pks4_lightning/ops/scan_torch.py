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
_CPU_SLAB_BYTES = 16 * 2**20
_GPU_SLAB_BYTES = 512 * 2**20

# Frames whose states the backward pass holds at a time. A longer clip is run through twice, which
# costs less than states that fall out of the cache.
_CHUNK = 8


def scan_forward(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """Return the output of :func:`~pks4_lightning.ops.selective_scan.selective_scan`."""
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    acc_dtype = torch.promote_types(u.dtype, torch.float32)
    A_NE, D_E = _state_major(A, acc_dtype), D.to(acc_dtype)
    with torch.autocast(u.device.type, enabled=False):
        for slab, (x_SNE, decay_SNE) in _slabs(u.shape[0], like=A_NE, num_states=2):
            u_STE, delta_STE, B_STN, C_STN = (z[slab].to(acc_dtype) for z in (u, delta, B, C))
            recurrence = _Recurrence(A_NE, u_STE, delta_STE, B_STN)
            y_TSE = _time_first(u_STE)
            for t in range(u.shape[1]):
                recurrence.step(t, None if t == 0 else x_SNE, decay=decay_SNE, out=x_SNE)
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
    chunks = [range(u.shape[1])[t : t + _CHUNK] for t in range(0, u.shape[1], _CHUNK)]
    # per frame of a chunk its state and decay, the states between chunks, and two gradients
    num_states = 2 * len(chunks[0]) + len(chunks) - 1 + 2
    with torch.autocast(u.device.type, enabled=False):
        for slab, workspace in _slabs(u.shape[0], like=A_NE, num_states=num_states):
            dy_STE, u_STE, delta_STE, B_STN, C_STN = (
                z[slab].to(acc_dtype) for z in (dy, u, delta, B, C)
            )
            recurrence = _Recurrence(A_NE, u_STE, delta_STE, B_STN)
            dwrite_STE, ddelta_STE, dA_SNE, dB[slab], dC[slab] = recurrence.differentiate(
                dy_STE, C_STN, chunks, workspace
            )
            du[slab] = torch.addcmul(D_E * dy_STE, dwrite_STE, delta_STE)
            ddelta[slab] = ddelta_STE.addcmul_(dwrite_STE, u_STE)
            dA_NE += dA_SNE.sum(0)
            dD_E += (dy_STE * u_STE).sum((0, 1))
    return du, ddelta, dA.copy_(dA_NE.t()), dB, dC, dD.copy_(dD_E)


class _Recurrence:
    """The states of one slab of sequences, forwards, and their gradients, backwards."""

    def __init__(self, A_NE: Tensor, u_STE: Tensor, delta_STE: Tensor, B_STN: Tensor) -> None:
        self.A_NE = A_NE
        # to base 2: on a CPU exp2 is almost three times as fast as exp
        self.rate_NE = A_NE * math.log2(math.e)
        self.delta_STE = delta_STE
        self.write_STE = delta_STE * u_STE
        self.B_STN = B_STN

    def step(self, t: int, before_SNE: Tensor | None, *, decay: Tensor, out: Tensor) -> None:
        """Write the state of frame ``t``; without a state before it, ``decay`` stays as it is."""
        write = self.B_STN[:, t].unsqueeze(-1), self.write_STE[:, t].unsqueeze(1)
        if before_SNE is None:
            torch.mul(*write, out=out)
        else:
            torch.mul(self.delta_STE[:, t].unsqueeze(1), self.rate_NE, out=decay).exp2_()
            torch.mul(decay, before_SNE, out=out).addcmul_(*write)

    def differentiate(
        self, dy_STE: Tensor, C_STN: Tensor, chunks: list[range], workspace: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the writes, of delta through the decays, of A, B and C."""
        length = len(chunks[0])
        states, decays, between, (dx_SNE, dA_SNE) = workspace.split(
            [length, length, len(chunks) - 1, 2]
        )
        dx_SNE.zero_()
        dA_SNE.zero_()
        dwrite_TSE, ddelta_TSE = (_time_first(self.write_STE) for _ in range(2))
        dB_TSN, dC_TSN = (_time_first(self.B_STN) for _ in range(2))

        self._keep_states_before(chunks[1:], between, decay=decays[0])
        for number in reversed(range(len(chunks))):
            previous = [None if number == 0 else between[number - 1], *states]
            for i, t in enumerate(chunks[number]):
                self.step(t, previous[i], decay=decays[i], out=states[i])
                # the state as the right factor: many times faster than as the left one
                _bmm(dy_STE[:, t], states[i].mT, out=dC_TSN[t])
            for i, t in reversed(list(enumerate(chunks[number]))):
                dx_SNE.addcmul_(C_STN[:, t].unsqueeze(-1), dy_STE[:, t].unsqueeze(1))
                _bmm(self.write_STE[:, t], dx_SNE.mT, out=dB_TSN[t])
                _bmm(self.B_STN[:, t], dx_SNE, out=dwrite_TSE[t])
                if previous[i] is None:
                    ddelta_TSE[t] = 0
                    continue
                dx_SNE.mul_(decays[i])
                dlog_decay_SNE = torch.mul(dx_SNE, previous[i], out=decays[i])
                dA_SNE.addcmul_(dlog_decay_SNE, self.delta_STE[:, t].unsqueeze(1))
                torch.sum(dlog_decay_SNE.mul_(self.A_NE), 1, out=ddelta_TSE[t])
        dwrite_STE, ddelta_STE, dB_STN, dC_STN = (
            z.transpose(0, 1) for z in (dwrite_TSE, ddelta_TSE, dB_TSN, dC_TSN)
        )
        return dwrite_STE, ddelta_STE, dA_SNE, dB_STN, dC_STN

    def _keep_states_before(self, chunks: list[range], kept: Tensor, *, decay: Tensor) -> None:
        """Run to the start of every chunk and keep the state there."""
        x_SNE = None
        t = 0
        for chunk, out in zip(chunks, kept, strict=True):
            while t < chunk.start:
                self.step(t, x_SNE, decay=decay, out=out)
                x_SNE = out
                t += 1


def _slabs(num_sequences: int, *, like: Tensor, num_states: int) -> Iterator[tuple[slice, Tensor]]:
    """Cut the sequences into slabs, each with room for so many tensors ``like`` per sequence."""
    bound = _CPU_SLAB_BYTES if like.device.type == "cpu" else _GPU_SLAB_BYTES
    size = min(num_sequences, max(1, bound // (num_states * like.nbytes)))
    workspace = like.new_empty(num_states, size, *like.shape)
    for start in range(0, num_sequences, max(1, size)):
        end = min(start + size, num_sequences)
        yield slice(start, end), workspace[:, : end - start]


def _time_first(x_STX: Tensor) -> Tensor:
    num_sequences, num_steps, width = x_STX.shape
    return x_STX.new_empty(num_steps, num_sequences, width)


def _bmm(x_SK: Tensor, y_SKM: Tensor, *, out: Tensor) -> None:
    """Multiply a row by a matrix, sequence by sequence; ``out`` must be contiguous to be fast."""
    torch.bmm(x_SK.unsqueeze(1), y_SKM, out=out.unsqueeze(1))


def _state_major(A: Tensor, dtype: torch.dtype) -> Tensor:
    """Return A with N first: the long axis is contiguous, which is what broadcasting likes."""
    return A.to(dtype).t().contiguous()
