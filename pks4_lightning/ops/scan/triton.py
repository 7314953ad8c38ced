"""The selective scan on an NVIDIA GPU: torch operators that call the Triton kernels.

If ``TRITON_INTERPRET=1`` is set before triton is imported, the kernels run on a CPU.

Dimensions:
    S: sequences, on two axes (clips, patches), with any strides
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

from pks4_lightning.ops.scan.backward_kernel import LANES, scan_backward_kernel
from pks4_lightning.ops.scan.forward_kernel import scan_forward_kernel
from pks4_lightning.ops.scan.registration import empty_gradients, register_scan
from pks4_lightning.ops.triton_streams import acc_dtype, grid_of, launcher, steps_of, stream_of

__all__ = ["scan_by_triton"]

# One warp per program: sums over channels need no barrier. The forward kernel's states per program,
# and channels that a thread loads at a time, were chosen by the registers and instructions of the
# code compiled for compute capability 9.0 (benchmarks/kernels.py). The loops are not pipelined:
# copies in advance cost the backward kernel more instructions than they hide time.
_FORWARD_STATES = 1024
_PIECE = 2
_OPTIONS = {"num_warps": 1, "num_stages": 1, "enable_fp_fusion": True}
_CHUNK = 8
# largest size in bytes of the partial sums of the gradients of B and C
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

    Streams have their sequences on two axes, clips and patches, with any strides.
    """
    y = torch.empty_like(u)
    num_clips, num_patches, num_steps, num_channels = u.shape
    sizes = _forward_sizes(u, A)
    weights = _Weights(u, A, B, C, D, delta_bias, sizes["N"], sizes["BLOCK_E"])
    rate_NE = weights.rate_EN.t().contiguous()
    grid = grid_of(num_channels, num_clips * num_patches, sizes["BLOCK_E"])
    launcher(scan_forward_kernel[grid], u)(
        stream_of(u), stream_of(delta), rate_NE, stream_of(weights.B), stream_of(weights.C),
        weights.D_E, weights.bias_E, stream_of(gate), stream_of(y),
        num_clips * num_patches, num_steps, num_channels, len(weights.D_E),
        PATCHES=num_patches, STEPS=steps_of(u, delta, weights.B, weights.C, gate, y),
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
    """Return a gradient for each input after dy; an empty one if the input is None."""
    gradients = empty_gradients(u, delta, A, B, C, D, delta_bias, gate)
    du, ddelta, dA, dB, dC, dD, dbias, dgate = gradients
    num_clips, num_patches, num_steps, num_channels = u.shape
    num_sequences, d_state = num_clips * num_patches, A.shape[1]
    sizes = _backward_sizes(u, A)
    num_states = _padded_states(A)
    weights = _Weights(u, A, B, C, D, delta_bias, num_states, LANES)
    num_blocks, _ = grid_of(num_channels, num_sequences, LANES)
    of_a_sequence = num_blocks * num_steps * 2 * num_states * weights.D_E.itemsize
    slab = max(1, _PARTIAL_BYTES // of_a_sequence)
    dgate_or_none = None if gate is None else dgate
    streams = (dy, u, delta, weights.B, weights.C, gate, du, ddelta, dgate_or_none)
    dy_, u_, delta_, B_, C_, gate_, du_, ddelta_, dgate_ = (stream_of(x) for x in streams)
    sums = [torch.zeros_like(x) for x in (weights.rate_EN, weights.D_E, weights.D_E)]
    for first in range(0, num_sequences, slab):
        last = min(first + slab, num_sequences)
        grid = grid_of(num_channels, last - first, LANES)
        shared = weights.D_E.new_empty(2, num_blocks, last - first, num_steps, num_states)
        parts = [x.new_empty(grid[1], *x.shape) for x in sums]
        launcher(scan_backward_kernel[grid], u)(
            dy_, u_, delta_, weights.rate_EN, B_, C_, weights.D_E, weights.bias_E, gate_,
            du_, ddelta_, dgate_, parts[0], shared, *parts[1:],
            _boundaries(weights.D_E, grid, num_steps, sizes["CHUNK"], num_states),
            first, last, num_steps, num_channels, len(weights.D_E),
            PATCHES=num_patches, STEPS=steps_of(*streams),
            SOFTPLUS=delta_bias is not None, **_OPTIONS, **sizes,
        )  # fmt: skip
        for whole, part in zip((dB, dC), shared, strict=True):
            whole.view(-1, num_steps, d_state)[first:last] = part.sum(0)[..., :d_state]
        for total, part in zip(sums, parts, strict=True):
            total += part.sum(0)
    dA.copy_(sums[0][:num_channels, :d_state])
    dD.copy_(sums[1][:num_channels])
    if delta_bias is not None:
        dbias.copy_(sums[2][:num_channels])
    return gradients


class _Weights:
    """Weights shared by sequences, and B and C, padded and in the state's dtype for the kernels."""

    def __init__(
        self,
        u: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        delta_bias: Tensor | None,
        num_states: int,
        block: int,
    ) -> None:
        dtype = acc_dtype(u)
        states, channels = num_states - A.shape[1], -len(D) % block
        # in units of log 2: one instruction exponentiates to base 2
        rate_EN = A.to(dtype) * math.log2(math.e)
        self.rate_EN = F.pad(rate_EN, (0, states, 0, channels)).contiguous()
        self.D_E = F.pad(D.to(dtype), (0, channels))
        self.bias_E = None if delta_bias is None else F.pad(delta_bias.to(dtype), (0, channels))
        self.B, self.C = (F.pad(x.to(dtype), (0, states)) for x in (B, C))


def _padded_states(A: Tensor) -> int:
    # two threads share them
    return max(2, triton.next_power_of_2(A.shape[1]))


def _forward_sizes(u: Tensor, A: Tensor) -> dict[str, Any]:
    num_states = _padded_states(A)
    block = max(1, _FORWARD_STATES // num_states)
    return {
        **_common_sizes(u, block),
        "BLOCK_E": block,
        "N": num_states,
        "PIECE": min(_PIECE, block),
        "ONE_CHUNK": u.shape[2] <= _CHUNK,
    }


def _backward_sizes(u: Tensor, A: Tensor) -> dict[str, Any]:
    of_a_thread = _padded_states(A) // 2
    at_once = min(4, of_a_thread)
    return {**_common_sizes(u, LANES), "NR": of_a_thread // at_once, "NV": at_once}


def _common_sizes(u: Tensor, block: int) -> dict[str, Any]:
    num_steps, num_channels = u.shape[2:]
    chunk = min(_CHUNK, triton.next_power_of_2(num_steps))
    is_double = acc_dtype(u) == torch.float64
    return {
        "CHUNK": chunk,
        "WHOLE_T": num_steps % chunk == 0,
        "WHOLE_E": num_steps % chunk == 0 and num_channels % block == 0,
        "TERMS": 17 if is_double else 7,
        "ACC": tl.float64 if is_double else tl.float32,
    }


def _boundaries(
    like: Tensor, grid: tuple[int, int], num_steps: int, chunk: int, num_states: int
) -> Tensor | None:
    num_chunks = triton.cdiv(num_steps, chunk)
    if num_chunks == 1:
        return None
    return like.new_empty(grid[0] * grid[1] * num_chunks * LANES * num_states)


register_scan(scan_by_triton, _scan_backward)
