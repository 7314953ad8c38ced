"""The selective scan on an NVIDIA GPU: torch operators around the Triton kernels.

With ``TRITON_INTERPRET=1`` in the environment before triton is imported, they run on a CPU.

Dimensions:
    S: sequences, on two axes (clips, patches), anywhere in memory
    T: time steps
    E: inner channels
    N: state size per channel
"""

import os
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pks4_lightning.ops.scan_kernels import scan_backward_kernel, scan_forward_kernel

__all__ = ["INTERPRETED", "scan_by_triton"]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# One warp per program: sums over channels need no barrier. States per program and group were
# chosen by the registers and instructions of the code compiled for compute capability 9.0.
_FORWARD_STATES, _FORWARD_GROUP = 1024, 1
_BACKWARD_STATES, _BACKWARD_GROUP = 512, 4
_CHUNK = 8
_PROGRAMS = 4096
# bytes that partial sums of the gradients of B and C may take at a time
_PARTIAL_BYTES = 256 * 2**20


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
    """Return the output of :func:`~pks4_lightning.ops.selective_scan.selective_scan`.

    Args are those of that function; sequences may lie on any number of leading axes. The output
    lies in memory in the order of ``u``.
    """
    streams = [None if x is None else _two_axes(x) for x in (u, delta, B, C, gate)]
    u_, delta_, B_, C_, gate_ = streams
    y: Tensor = _scan(u_, delta_, A, B_, C_, D, delta_bias, gate_)
    return y.view(u.shape) if u.ndim < 4 else y.reshape(u.shape)


def _two_axes(x: Tensor) -> Tensor:
    return x.unsqueeze(0) if x.ndim == 3 else x.flatten(0, -4)


@torch.library.custom_op("pks4::selective_scan_triton", mutates_args=())
def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> Tensor:
    y = torch.empty_like(u)
    num_clips, num_patches, num_steps, num_channels = u.shape
    sizes = _sizes(u, A, _FORWARD_STATES, _FORWARD_GROUP)
    grid = _grid(num_channels, num_clips * num_patches, sizes["BLOCK_E"])
    scan_forward_kernel[grid](
        _stream(u), _stream(delta), A.contiguous(), _stream(B), _stream(C), D.contiguous(),
        delta_bias, _stream(gate), _stream(y),
        num_clips * num_patches, num_patches, num_steps, num_channels, A.shape[1],
        num_warps=1, **sizes,
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
    gradients = _empty_gradients(u, delta, A, B, C, D, delta_bias, gate)
    du, ddelta, dA, dB, dC, dD, dbias, dgate = gradients
    num_clips, num_patches, num_steps, num_channels = u.shape
    num_sequences, d_state = num_clips * num_patches, A.shape[1]
    sizes = _sizes(u, A, _BACKWARD_STATES, _BACKWARD_GROUP)
    num_blocks = triton.cdiv(num_channels, sizes["BLOCK_E"])
    part = {"dtype": torch.promote_types(u.dtype, torch.float32), "device": u.device}

    slab = max(1, _PARTIAL_BYTES // (num_blocks * num_steps * d_state * 2 * part["dtype"].itemsize))
    parts_of_A, parts_of_D, parts_of_bias = [], [], []
    for first in range(0, num_sequences, slab):
        last = min(first + slab, num_sequences)
        grid = _grid(num_channels, last - first, sizes["BLOCK_E"])
        shared = torch.empty(2, num_blocks, last - first, num_steps, d_state, **part)
        A_parts = torch.empty(grid[1], num_channels, d_state, **part)
        D_parts = torch.empty(2, grid[1], num_channels, **part)
        num_chunks = triton.cdiv(num_steps, sizes["CHUNK"])
        boundaries = None
        if num_chunks > 1:
            states = sizes["BLOCK_E"] * sizes["G"] * sizes["J"]
            boundaries = torch.empty(grid[0] * grid[1] * num_chunks * states, **part)
        scan_backward_kernel[grid](
            _stream(dy), _stream(u), _stream(delta), A.contiguous(), _stream(B), _stream(C),
            D.contiguous(), delta_bias, _stream(gate), _stream(du), _stream(ddelta),
            _stream(dgate) if gate is not None else None,
            A_parts, shared[0], shared[1], D_parts[0], D_parts[1], boundaries,
            first, last, num_patches, num_steps, num_channels, d_state, num_warps=1, **sizes,
        )  # fmt: skip
        dB.view(-1, num_steps, d_state)[first:last] = shared[0].sum(0)
        dC.view(-1, num_steps, d_state)[first:last] = shared[1].sum(0)
        parts_of_A.append(A_parts.sum(0))
        parts_of_D.append(D_parts[0].sum(0))
        parts_of_bias.append(D_parts[1].sum(0))
    dA.copy_(torch.stack(parts_of_A).sum(0))
    dD.copy_(torch.stack(parts_of_D).sum(0))
    if delta_bias is not None:
        dbias.copy_(torch.stack(parts_of_bias).sum(0))
    return gradients


def _empty_gradients(*inputs: Tensor | None) -> tuple[Tensor, ...]:
    """Streams in their inputs' order in memory, others contiguous."""
    u, delta, A, B, C, D, bias, gate = inputs
    nothing = u.new_empty(0)
    return (
        torch.empty_like(u),
        torch.empty_like(delta),
        A.new_empty(A.shape),
        B.new_empty(B.shape),
        C.new_empty(C.shape),
        D.new_empty(D.shape),
        nothing if bias is None else bias.new_empty(bias.shape),
        nothing.clone() if gate is None else torch.empty_like(gate),
    )


def _sizes(u: Tensor, A: Tensor, states: int, group: int) -> dict[str, Any]:
    num_states = triton.next_power_of_2(A.shape[1])
    group = min(group, num_states)
    is_double = u.dtype == torch.float64
    return {
        "CHUNK": min(_CHUNK, triton.next_power_of_2(u.shape[2])),
        "BLOCK_E": max(1, states // num_states),
        "G": num_states // group,
        "J": group,
        "TERMS": 17 if is_double else 7,
        "ACC": tl.float64 if is_double else tl.float32,
    }


def _grid(num_channels: int, num_sequences: int, block: int) -> tuple[int, int]:
    num_blocks = triton.cdiv(num_channels, block)
    return num_blocks, max(1, min(num_sequences, _PROGRAMS // num_blocks))


def _stream(x: Tensor | None) -> tuple[Any, ...] | None:
    if x is None:
        return None
    if x.stride(-1) != 1 and x.shape[-1] > 1:
        x = x.contiguous()
    return (x, *x.stride()[:3])


@_scan.register_fake
def _(u: Tensor, *_others: Tensor | None) -> Tensor:
    return torch.empty_like(u)


@_scan_backward.register_fake
def _(_dy: Tensor, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    return _empty_gradients(*inputs)
