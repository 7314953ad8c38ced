"""The selective scan in plain PyTorch, which runs on any device in bounded memory.

The backward pass is derived by hand. With the write ``w = delta * u`` and the gradient ``q`` that
reaches a state through its successor:

    g[t] = C[t] dy[t] + q[t + 1]    dC[t] = <dy[t], x[t]> over E    dw[t] = <B[t], g[t]> over N
    q[t] = exp(delta[t] A) g[t]     dB[t] = <w[t], g[t]> over E     dlog_decay[t] = q[t] x[t - 1]

Step size, skip path and gate are computed inside, so that their intermediate values exist only for
one slab of sequences at a time.

A sequence of more than 128 steps is cut into pieces that are scanned in parallel like separate
sequences. A first pass from zero gives what every piece adds to its state; a short recurrence over
the pieces then gives each piece's initial state. The gradient is computed likewise, backwards.

Dimensions:
    S: sequences of a slab (patch locations of one clip), or their pieces
    T: time steps, one per frame or token; the first axis here, as in the memory of a ViT's tokens
    E: inner channels
    N: state size per channel
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pks4_lightning.ops.scan.registration import empty_gradients

__all__ = ["scan_backward", "scan_forward"]

# Bytes of the states that one step of a slab of sequences works on. A thread of a CPU should find
# its share in the cache, beside the slab's streams, which grow with its frames, and yet be busy for
# longer than the calls of the operators take; a GPU wants few and large kernels.
_CPU_STEP_BYTES = 2 * 2**20
_GPU_STEP_BYTES = 128 * 2**20

# Sequences up to this number of steps are not cut. Cutting takes up to twice the work but fewer
# calls: if states are few, time then grows with the square root of the length.
_LONGEST_PIECE = 128

# Frames whose states the backward pass holds at a time. A longer clip takes a second pass, which
# is faster than states that do not fit into the cache.
_CHUNK = 8


def scan_forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> Tensor:
    """Return the output of :func:`~pks4_lightning.ops.scan.selective_scan.selective_scan`.

    Streams have their sequences on two axes, clips and patches, with any strides.
    """
    y = torch.empty_like(u)
    weights = _weights(A, D, delta_bias, like=u)
    with torch.autocast(u.device.type, enabled=False):
        cut = _Cut.of(u.shape[2], weights[0], num_in_step=2)
        for at, (x_SNE, decay_SNE) in _slabs(u, weights[0], cut, num_states=2):
            slab = _Slab(at, cut, u, delta, B, C, gate, weights)
            before_SNE = slab.states_at_start(out=x_SNE, decay=decay_SNE)
            y_TSE = torch.empty_like(slab.u_TSE)
            for t in range(len(y_TSE)):
                slab.step(t, before_SNE if t == 0 else x_SNE, decay=decay_SNE, out=x_SNE)
                _bmm(slab.C_TSN[t], x_SNE, out=y_TSE[t])
            y_TSE.addcmul_(slab.D_E, slab.u_TSE)
            if slab.gate_TSE is not None:
                y_TSE *= F.silu(slab.gate_TSE)
            y[at] = cut.join(y_TSE)
    return y


def scan_backward(
    dy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return a gradient for each input after ``dy``; an empty one if the input is None."""
    gradients = empty_gradients(u, delta, A, B, C, D, delta_bias, gate)
    du, ddelta, dA, dB, dC, dD, dbias, dgate = gradients
    weights = _weights(A, D, delta_bias, like=u)
    A_NE, D_E, _ = weights
    dA_NE, dD_E, dbias_E = (torch.zeros_like(x) for x in (A_NE, D_E, D_E))
    cut = _Cut.of(u.shape[2], A_NE, num_in_step=5)
    steps = range(cut.length)
    chunks = [steps[t : t + _CHUNK] for t in range(0, cut.length, _CHUNK)]
    # a chunk has a state and a decay per frame, then states between chunks, and two gradients
    num_states = 2 * len(chunks[0]) + len(chunks) - 1 + 2
    with torch.autocast(u.device.type, enabled=False):
        for at, workspace in _slabs(u, A_NE, cut, num_states=num_states):
            slab = _Slab(at, cut, u, delta, B, C, gate, weights)
            dy_TSE = dscan_TSE = cut.apart(dy[at], dD_E.dtype)
            if slab.gate_TSE is not None:
                dscan_TSE = dy_TSE * F.silu(slab.gate_TSE)
            dwrite_TSE, ddelta_TSE, dA_SNE, dB_TSN, dC_TSN, y_TSE = slab.differentiate(
                dscan_TSE, chunks, workspace
            )
            if slab.gate_TSE is not None:
                y_TSE.addcmul_(slab.D_E, slab.u_TSE).mul_(dy_TSE)
                dgate[at] = cut.join(torch.ops.aten.silu_backward(y_TSE, slab.gate_TSE))
            ddelta_TSE.addcmul_(dwrite_TSE, slab.u_TSE)
            if delta_bias is not None:
                ddelta_TSE *= torch.sigmoid(slab.raw_TSE)
                dbias_E += ddelta_TSE.sum((0, 1))
            dD_E += (dscan_TSE * slab.u_TSE).sum((0, 1))
            du[at] = cut.join(dwrite_TSE.mul_(slab.delta_TSE).addcmul_(slab.D_E, dscan_TSE))
            ddelta[at] = cut.join(ddelta_TSE)
            dB[at], dC[at] = cut.join(dB_TSN), cut.join(dC_TSN)
            dA_NE += dA_SNE.sum(0)
    dA.copy_(dA_NE.t())
    dD.copy_(dD_E)
    if delta_bias is not None:
        dbias.copy_(dbias_E)
    return gradients


@dataclass(frozen=True)
class _Cut:
    """Division of sequences: ``number`` pieces of ``length`` steps, the last one padded."""

    num_steps: int
    number: int
    length: int
    size: int
    """Sequences per slab."""

    @classmethod
    def of(cls, num_steps: int, like: Tensor, *, num_in_step: int) -> "_Cut":
        """Cut so that a step reads or writes ``num_in_step`` tensors of bounded size."""
        bound = _GPU_STEP_BYTES
        if like.device.type == "cpu":
            bound = _CPU_STEP_BYTES * torch.get_num_threads()
        at_once = max(1, bound // (num_in_step * like.nbytes))
        number = 1
        if num_steps > _LONGEST_PIECE:
            # two passes along a piece and one over the pieces: this minimises the calls
            number = min(at_once, math.isqrt(2 * num_steps))
        length = -(-num_steps // number)
        return cls(num_steps, number, length, max(1, at_once // number))

    def apart(self, x_STX: Tensor, dtype: torch.dtype) -> Tensor:
        """Put time first, and the pieces of all sequences next to each other, piece by piece."""
        x_TSX = x_STX.transpose(0, 1).to(dtype)
        if self.number == 1:
            return x_TSX
        # zeros only let the states decay, and these states are not read
        padded = F.pad(x_TSX, (0, 0, 0, 0, 0, self.number * self.length - self.num_steps))
        return padded.unflatten(0, (self.number, -1)).transpose(0, 1).flatten(1, 2)

    def join(self, x_TSX: Tensor) -> Tensor:
        """Join the pieces again, with sequences first."""
        if self.number > 1:
            x_TSX = x_TSX.unflatten(1, (self.number, -1)).transpose(0, 1).flatten(0, 1)
        return x_TSX[: self.num_steps].transpose(0, 1)


class _Slab:
    """A slab of sequences, with its states (forward) and their gradients (backward).

    ``raw_TSE`` is the input of softplus for the step size, if there is a bias.
    """

    def __init__(
        self,
        at: tuple[int, slice],
        cut: _Cut,
        u: Tensor,
        delta: Tensor,
        B: Tensor,
        C: Tensor,
        gate: Tensor | None,
        weights: tuple[Tensor, Tensor, Tensor | None],
    ) -> None:
        self.A_NE, self.D_E, bias_E = weights
        dtype = self.A_NE.dtype
        # base 2, because exp2 is almost three times as fast as exp on a CPU
        self.rate_NE = self.A_NE * math.log2(math.e)
        self.cut = cut
        self.u_TSE, self.raw_TSE, self.B_TSN, self.C_TSN = (
            cut.apart(x[at], dtype) for x in (u, delta, B, C)
        )
        self.gate_TSE = None if gate is None else cut.apart(gate[at], dtype)
        self.delta_TSE = self.raw_TSE
        if bias_E is not None:
            self.raw_TSE = self.raw_TSE + bias_E
            self.delta_TSE = F.softplus(self.raw_TSE)
        self.write_TSE = self.delta_TSE * self.u_TSE

    def step(self, t: int, before_SNE: Tensor | None, *, decay: Tensor, out: Tensor) -> None:
        """Write the state of frame ``t``; without a previous state, ``decay`` is not used."""
        write = self.B_TSN[t].unsqueeze(-1), self.write_TSE[t].unsqueeze(1)
        if before_SNE is None:
            torch.mul(*write, out=out)
        else:
            torch.mul(self.delta_TSE[t].unsqueeze(1), self.rate_NE, out=decay).exp2_()
            torch.mul(decay, before_SNE, out=out).addcmul_(*write)

    def states_at_start(self, *, out: Tensor, decay: Tensor) -> Tensor | None:
        """Return the initial state of each piece; None stands for zero, if nothing is cut."""
        if self.cut.number == 1:
            return None
        for t in range(self.cut.length):
            self.step(t, None if t == 0 else out, decay=decay, out=out)
        return self._along_pieces(out, self._whole_decay(), reverse=False)

    def differentiate(
        self, dy_TSE: Tensor, chunks: list[range], workspace: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the writes, of delta through the decays, of A, B, C; and <C, x>.

        The last is the output without skip path and gate; without a gate it is not computed.
        """
        length = len(chunks[0])
        states, decays, between, (dx_SNE, dA_SNE) = workspace.split(
            [length, length, len(chunks) - 1, 2]
        )
        start_SNE = self.states_at_start(out=states[0], decay=decays[0])
        self._gradients_at_end(dy_TSE, out=dx_SNE, decay=decays[0])
        dA_SNE.zero_()
        dwrite_TSE, ddelta_TSE, y_TSE = (torch.empty_like(self.write_TSE) for _ in range(3))
        dB_TSN, dC_TSN = (x.new_empty(x.shape) for x in (self.B_TSN, self.C_TSN))

        self._keep_states_before(chunks[1:], start_SNE, between, decay=decays[0])
        for number in reversed(range(len(chunks))):
            previous = [start_SNE if number == 0 else between[number - 1], *states]
            for i, t in enumerate(chunks[number]):
                self.step(t, previous[i], decay=decays[i], out=states[i])
                # the state is the right factor, which is many times faster than the left
                _bmm(dy_TSE[t], states[i].mT, out=dC_TSN[t])
                if self.gate_TSE is not None:
                    _bmm(self.C_TSN[t], states[i], out=y_TSE[t])
            for i, t in reversed(list(enumerate(chunks[number]))):
                dx_SNE.addcmul_(self.C_TSN[t].unsqueeze(-1), dy_TSE[t].unsqueeze(1))
                _bmm(self.write_TSE[t], dx_SNE.mT, out=dB_TSN[t])
                _bmm(self.B_TSN[t], dx_SNE, out=dwrite_TSE[t])
                if previous[i] is None:
                    ddelta_TSE[t] = 0
                    continue
                dx_SNE.mul_(decays[i])
                dlog_decay_SNE = torch.mul(dx_SNE, previous[i], out=decays[i])
                dA_SNE.addcmul_(dlog_decay_SNE, self.delta_TSE[t].unsqueeze(1))
                torch.sum(dlog_decay_SNE.mul_(self.A_NE), 1, out=ddelta_TSE[t])
        return dwrite_TSE, ddelta_TSE, dA_SNE, dB_TSN, dC_TSN, y_TSE

    def _gradients_at_end(self, dy_TSE: Tensor, *, out: Tensor, decay: Tensor) -> None:
        """Write the gradient that each piece's last state receives from the following pieces."""
        out.zero_()
        if self.cut.number == 1:
            return
        for t in reversed(range(self.cut.length)):
            out.addcmul_(self.C_TSN[t].unsqueeze(-1), dy_TSE[t].unsqueeze(1))
            torch.mul(self.delta_TSE[t].unsqueeze(1), self.rate_NE, out=decay).exp2_()
            out.mul_(decay)
        out.copy_(self._along_pieces(out, self._whole_decay(), reverse=True))

    def _whole_decay(self) -> Tensor:
        return torch.exp2(self.delta_TSE.sum(0).unsqueeze(1) * self.rate_NE)

    def _along_pieces(self, x_SNE: Tensor, decay_SNE: Tensor, *, reverse: bool) -> Tensor:
        """Return what each piece receives from all pieces before (or after) it."""
        added, decays = (z.unflatten(0, (self.cut.number, -1)) for z in (x_SNE, decay_SNE))
        reached = torch.zeros_like(added)
        order = range(self.cut.number)[:: -1 if reverse else 1]
        for here, there in itertools.pairwise(order):
            torch.addcmul(added[here], decays[here], reached[here], out=reached[there])
        return reached.flatten(0, 1)

    def _keep_states_before(
        self, chunks: list[range], start: Tensor | None, kept: Tensor, *, decay: Tensor
    ) -> None:
        """Scan up to the start of every chunk, and keep the states there."""
        x_SNE = start
        t = 0
        for chunk, out in zip(chunks, kept, strict=True):
            while t < chunk.start:
                self.step(t, x_SNE, decay=decay, out=out)
                x_SNE = out
                t += 1


def _weights(
    A: Tensor, D: Tensor, delta_bias: Tensor | None, *, like: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return A with N first, and D and the bias in the dtype of the state.

    The long axis of A is then contiguous, which makes broadcasting fast.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    bias_E = None if delta_bias is None else delta_bias.to(dtype)
    return A.to(dtype).t().contiguous(), D.to(dtype), bias_E


def _slabs(
    stream: Tensor, like: Tensor, cut: _Cut, *, num_states: int
) -> Iterator[tuple[tuple[int, slice], Tensor]]:
    """Divide the clips into slabs with room for the given number of ``like`` tensors per piece."""
    num_clips, num_patches = stream.shape[:2]
    size = max(1, min(num_patches, cut.size))
    workspace = like.new_empty(num_states, cut.number * size, *like.shape)
    for clip in range(num_clips):
        for start in range(0, num_patches, size):
            end = min(start + size, num_patches)
            yield (clip, slice(start, end)), workspace[:, : cut.number * (end - start)]


def _bmm(x_SK: Tensor, y_SKM: Tensor, *, out: Tensor) -> None:
    """Multiply a row by a matrix for each sequence."""
    torch.bmm(x_SK.unsqueeze(1), y_SKM, out=out.unsqueeze(1))
