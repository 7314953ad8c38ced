"""The selective scan on an NVIDIA GPU: torch operators around the Triton kernels.

With ``TRITON_INTERPRET=1`` in the environment before triton is imported, they run on a CPU.

Dimensions:
    S: sequences, on two axes (clips, patches), anywhere in memory
    T: time steps
    E: inner channels
    N: state size per channel
"""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from pks4_lightning.ops.scan_kernels import scan_backward_kernel, scan_forward_kernel
from pks4_lightning.ops.scan_registration import register_scan

__all__ = ["INTERPRETED", "scan_by_triton"]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# One warp per program: sums over channels need no barrier. States per program and group were
# chosen by the registers and instructions of the code compiled for compute capability 9.0.
_FORWARD_STATES, _FORWARD_GROUP = 1024, 1
_BACKWARD_STATES, _BACKWARD_GROUP = 512, 4
_OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}
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
    y: Tensor = _scan(
        _two_axes(u),
        _two_axes(delta),
        A,
        _two_axes(B),
        _two_axes(C),
        D,
        delta_bias,
        None if gate is None else _two_axes(gate),
    )
    return y.reshape(u.shape)


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
    A, B, C = (_pad_states(x, sizes) for x in (A, B, C))
    # neighbouring threads hold neighbouring channels
    A = A.t().contiguous().t()
    _on_device_of(u, scan_forward_kernel[grid])(
        _stream(u), _stream(delta), (A, *A.stride()), _stream(B), _stream(C), D.contiguous(),
        _contiguous(delta_bias), _stream(gate), _stream(y),
        num_clips * num_patches, num_patches, num_steps, num_channels,
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
    du, ddelta, dA, dB, dC, dD, dbias, dgate = _empty_gradients(
        u, delta, A, B, C, D, delta_bias, gate
    )
    num_clips, num_patches, num_steps, num_channels = u.shape
    num_sequences, d_state = num_clips * num_patches, A.shape[1]
    sizes = _sizes(u, A, _BACKWARD_STATES, _BACKWARD_GROUP)
    A, B, C = (_pad_states(x, sizes) for x in (A, B, C))
    num_blocks, _ = _grid(num_channels, num_sequences, sizes["BLOCK_E"])
    slab = max(1, _PARTIAL_BYTES // (num_blocks * num_steps * 2 * A.shape[1] * A.itemsize))
    sums = [torch.zeros(x.shape, dtype=A.dtype, device=A.device) for x in (A, D, D)]
    for first in range(0, num_sequences, slab):
        last = min(first + slab, num_sequences)
        grid = _grid(num_channels, last - first, sizes["BLOCK_E"])
        shared = A.new_empty(2, num_blocks, last - first, num_steps, A.shape[1])
        parts = [x.new_empty(grid[1], *x.shape) for x in sums]
        _on_device_of(u, scan_backward_kernel[grid])(
            _stream(dy), _stream(u), _stream(delta), (A, *A.stride()), _stream(B), _stream(C),
            D.contiguous(), _contiguous(delta_bias), _stream(gate), _stream(du), _stream(ddelta),
            None if gate is None else _stream(dgate), parts[0], shared[0], shared[1], *parts[1:],
            _boundaries(A, grid, num_steps, sizes),
            first, last, num_patches, num_steps, num_channels,
            SOFTPLUS=delta_bias is not None, **_OPTIONS, **sizes,
        )  # fmt: skip
        for whole, part in zip((dB, dC), shared, strict=True):
            whole.view(-1, num_steps, d_state)[first:last] = part.sum(0)[..., :d_state]
        for total, part in zip(sums, parts, strict=True):
            total += part.sum(0)
    dA.copy_(sums[0][:, :d_state])
    dD.copy_(sums[1])
    if delta_bias is not None:
        dbias.copy_(sums[2])
    return du, ddelta, dA, dB, dC, dD, dbias, dgate


def _empty_gradients(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Streams of channels in their inputs' order in memory, others contiguous."""
    dA, dB, dC, dD = (x.new_empty(x.shape) for x in (A, B, C, D))
    dbias = u.new_empty(0) if delta_bias is None else delta_bias.new_empty(delta_bias.shape)
    dgate = u.new_empty(0) if gate is None else torch.empty_like(gate)
    return torch.empty_like(u), torch.empty_like(delta), dA, dB, dC, dD, dbias, dgate


def _on_device_of(u: Tensor, launch: Callable[..., Any]) -> Callable[..., Any]:
    """Triton launches on the current device, which need not be the one of the inputs."""

    def launch_there(*args: Any, **sizes: Any) -> None:
        with torch.cuda.device_of(u):
            launch(*args, **sizes)

    return launch_there


def _sizes(u: Tensor, A: Tensor, states: int, group: int) -> dict[str, Any]:
    num_steps, num_channels = u.shape[2:]
    num_states = triton.next_power_of_2(A.shape[1])
    group, block = min(group, num_states), max(1, states // num_states)
    chunk = min(_CHUNK, triton.next_power_of_2(num_steps))
    is_double = u.dtype == torch.float64
    return {
        "CHUNK": chunk,
        "BLOCK_E": block,
        "G": num_states // group,
        "J": group,
        "WHOLE_T": num_steps % chunk == 0,
        "WHOLE_E": num_steps % chunk == 0 and num_channels % block == 0,
        "TERMS": 17 if is_double else 7,
        "ACC": tl.float64 if is_double else tl.float32,
    }


def _grid(num_channels: int, num_sequences: int, block: int) -> tuple[int, int]:
    num_blocks = triton.cdiv(num_channels, block)
    return num_blocks, max(1, min(num_sequences, _PROGRAMS // num_blocks))


def _pad_states(x: Tensor, sizes: dict[str, Any]) -> Tensor:
    """Lay out A, B or C as the kernels read it: all states, in the dtype of the state."""
    dtype = torch.float64 if sizes["ACC"] == tl.float64 else torch.float32
    missing = sizes["G"] * sizes["J"] - x.shape[-1]
    return F.pad(x.to(dtype), (0, missing)).contiguous()


def _boundaries(
    A: Tensor, grid: tuple[int, int], num_steps: int, sizes: dict[str, Any]
) -> Tensor | None:
    num_chunks = triton.cdiv(num_steps, sizes["CHUNK"])
    if num_chunks == 1:
        return None
    return A.new_empty(grid[0] * grid[1] * num_chunks * sizes["BLOCK_E"] * A.shape[1])


def _stream(x: Tensor | None) -> tuple[Any, ...] | None:
    if x is None:
        return None
    if x.stride(-1) != 1 and x.shape[-1] > 1:
        x = x.contiguous()
    return (x, *x.stride()[:3])


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


@_scan.register_fake
def _(u: Tensor, *_others: Tensor | None) -> Tensor:
    return torch.empty_like(u)


@_scan_backward.register_fake
def _(_dy: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return _empty_gradients(*inputs)


register_scan(_scan, _scan_backward)
