"""The selective scan on an NVIDIA GPU: torch operators around the Triton kernels.

With ``TRITON_INTERPRET=1`` in the environment before triton is imported, they run on a CPU.

Dimensions:
    S: sequences, on two axes (clips, patches), anywhere in memory
    T: time steps
    E: inner channels
    N: state size per channel
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from pks4_lightning.ops.scan.kernels import scan_backward_kernel, scan_forward_kernel
from pks4_lightning.ops.scan.registration import empty_gradients, register_scan
from pks4_lightning.ops.triton_streams import acc_dtype, grid_of, launcher, stream_of

__all__ = ["scan_by_triton"]

# One warp per program: sums over channels need no barrier. States per program, and channels that a
# thread loads at a time, were chosen by the registers and instructions of the code compiled for
# compute capability 9.0 (benchmarks/kernels.py).
_FORWARD = {"states": 1024, "piece": 2}
_BACKWARD = {"states": 512, "piece": 4}
_OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}
_CHUNK = 8
# bytes that partial sums of the gradients of B and C may take at a time
_PARTIAL_BYTES = 256 * 2**20


@torch.library.custom_op("pks4::selective_scan_triton", mutates_args=())
def scan_by_triton(
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

    Streams have their sequences on two axes, clips and patches, and may lie anywhere in memory.
    """
    y = torch.empty_like(u)
    num_clips, num_patches, num_steps, num_channels = u.shape
    sizes = _sizes(u, A, **_FORWARD)
    weights = _Weights(u, A, B, C, D, delta_bias, sizes)
    grid = grid_of(num_channels, num_clips * num_patches, sizes["BLOCK_E"])
    launcher(scan_forward_kernel[grid], u)(
        stream_of(u), stream_of(delta), weights.rate_NE, stream_of(weights.B), stream_of(weights.C),
        weights.D_E, weights.bias_E, stream_of(gate), stream_of(y),
        num_clips * num_patches, num_patches, num_steps, num_channels, len(weights.D_E),
        SOFTPLUS=delta_bias is not None, **_OPTIONS, **sizes,
    )  # fmt: skip
    return y


@torch.library.custom_op("pks4::selective_scan_triton_backward", mutates_args=())
def _scan_backward(
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
    """Return a gradient for each input after dy; an empty one for an input that is not there."""
    gradients = empty_gradients(u, delta, A, B, C, D, delta_bias, gate)
    du, ddelta, dA, dB, dC, dD, dbias, dgate = gradients
    num_clips, num_patches, num_steps, num_channels = u.shape
    num_sequences, d_state = num_clips * num_patches, A.shape[1]
    sizes = _sizes(u, A, **_BACKWARD)
    weights = _Weights(u, A, B, C, D, delta_bias, sizes)
    num_blocks, _ = grid_of(num_channels, num_sequences, sizes["BLOCK_E"])
    of_a_sequence = num_blocks * num_steps * 2 * sizes["N"] * weights.D_E.itemsize
    slab = max(1, _PARTIAL_BYTES // of_a_sequence)
    sums = [torch.zeros_like(x) for x in (weights.rate_NE, weights.D_E, weights.D_E)]
    for first in range(0, num_sequences, slab):
        last = min(first + slab, num_sequences)
        grid = grid_of(num_channels, last - first, sizes["BLOCK_E"])
        shared = weights.D_E.new_empty(2, num_blocks, last - first, num_steps, sizes["N"])
        parts = [x.new_empty(grid[1], *x.shape) for x in sums]
        launcher(scan_backward_kernel[grid], u)(
            stream_of(dy), stream_of(u), stream_of(delta), weights.rate_NE, stream_of(weights.B),
            stream_of(weights.C), weights.D_E, weights.bias_E, stream_of(gate), stream_of(du),
            stream_of(ddelta), None if gate is None else stream_of(dgate), parts[0], *shared,
            *parts[1:], _boundaries(weights.D_E, grid, num_steps, sizes),
            first, last, num_patches, num_steps, num_channels, len(weights.D_E),
            SOFTPLUS=delta_bias is not None, **_OPTIONS, **sizes,
        )  # fmt: skip
        for whole, part in zip((dB, dC), shared, strict=True):
            whole.view(-1, num_steps, d_state)[first:last] = part.sum(0)[..., :d_state]
        for total, part in zip(sums, parts, strict=True):
            total += part.sum(0)
    dA.copy_(sums[0][:d_state, :num_channels].t())
    dD.copy_(sums[1][:num_channels])
    if delta_bias is not None:
        dbias.copy_(sums[2][:num_channels])
    return gradients


class _Weights:
    """What sequences share, and B and C, as the kernels read them: padded, in the state's dtype."""

    def __init__(
        self,
        u: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        delta_bias: Tensor | None,
        sizes: dict[str, Any],
    ) -> None:
        dtype = acc_dtype(u)
        states, channels = sizes["N"] - A.shape[1], -len(D) % sizes["BLOCK_E"]
        # in units of log 2: one instruction exponentiates to base 2
        rate_EN = F.pad(A.to(dtype) * math.log2(math.e), (0, states, 0, channels))
        self.rate_NE = rate_EN.t().contiguous()
        self.D_E = F.pad(D.to(dtype), (0, channels))
        self.bias_E = None if delta_bias is None else F.pad(delta_bias.to(dtype), (0, channels))
        self.B, self.C = (F.pad(x.to(dtype), (0, states)) for x in (B, C))


def _sizes(u: Tensor, A: Tensor, *, states: int, piece: int) -> dict[str, Any]:
    num_steps, num_channels = u.shape[2:]
    num_states = triton.next_power_of_2(A.shape[1])
    block = max(1, states // num_states)
    chunk = min(_CHUNK, triton.next_power_of_2(num_steps))
    is_double = acc_dtype(u) == torch.float64
    return {
        "CHUNK": chunk,
        "BLOCK_E": block,
        "N": num_states,
        "PIECE": min(piece, block),
        "WHOLE_T": num_steps % chunk == 0,
        "WHOLE_E": num_steps % chunk == 0 and num_channels % block == 0,
        "TERMS": 17 if is_double else 7,
        "ACC": tl.float64 if is_double else tl.float32,
    }


def _boundaries(
    like: Tensor, grid: tuple[int, int], num_steps: int, sizes: dict[str, Any]
) -> Tensor | None:
    num_chunks = triton.cdiv(num_steps, sizes["CHUNK"])
    if num_chunks == 1:
        return None
    return like.new_empty(grid[0] * grid[1] * num_chunks * sizes["BLOCK_E"] * sizes["N"])


register_scan(scan_by_triton, _scan_backward)
