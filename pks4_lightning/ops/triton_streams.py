"""Access of Triton kernels to streams: functions shared by the kernels and by their launches.

A stream has its sequences on two axes (clips, patches), with any strides; its last axis is
contiguous. A kernel receives it as a tuple of pointer, clip stride and patch stride. The step
strides of all streams of a kernel are its constant STEPS, so that the offset of a step is part of
the load instruction. It is therefore compiled once per grid size; the scan's kernels also take the
number of patches as a constant, PATCHES, which saves a division. A program processes a block of the
last axis, sequence by sequence along time, a chunk of steps at a time.

Arguments of the device functions:
    place: sequence, patches per clip, first step of the chunk, number of steps
    axis: indices along the last axis of a stream, and its size
    STEP: step stride of a stream
    WHOLE: whether all values lie within the steps and the axis. It is a separate argument, because
        Triton 3.7 does not treat members of tuples as constants
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives device functions' arguments their types
# ruff: noqa: RUF005 - the compiler knows tuples' sum, not their unpacking
# mypy: disable-error-code="no-untyped-def"

import os
from collections.abc import Callable

# a kernel is compiled from its source, so it must not be wrapped by runtime signature checks
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = [
    "INTERPRETED",
    "LOG2_E",
    "acc_dtype",
    "grid_of",
    "launcher",
    "load",
    "load_chunk",
    "sigmoid",
    "steps_of",
    "store",
    "stream_of",
]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# Programs per launch. Each processes many sequences, so that shared weights are loaded, and sums
# are stored, only this many times.
_PROGRAMS = 4096

# exponentials in base 2 take one instruction
LOG2_E = tl.constexpr(1.4426950408889634)


def stream_of(x: Tensor | None) -> tuple[Any, ...] | None:
    """Return a stream as a kernel's argument; None stays None."""
    if x is None:
        return None
    if not _is_readable(x):
        x = x.contiguous()
    return (x, *x.stride()[:2])


def steps_of(*streams: Tensor | None) -> tuple[int, ...]:
    """Return the step strides of the same streams; 0 for None."""
    return tuple(
        0 if x is None else x.stride(2) if _is_readable(x) else x.shape[3] for x in streams
    )


def _is_readable(x: Tensor) -> bool:
    return x.stride(-1) == 1 or x.shape[-1] == 1


def grid_of(num_channels: int, num_sequences: int, block: int) -> tuple[int, int]:
    """Return the number of programs along channels and along sequences."""
    num_blocks = triton.cdiv(num_channels, block)
    return num_blocks, max(1, min(num_sequences, _PROGRAMS // num_blocks))


def acc_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which a kernel computes for a stream."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def launcher(kernel: Callable[..., Any], x: Tensor) -> Callable[..., Any]:
    """Launch on the device of ``x``; Triton would use the current device, which may differ."""

    def launch_there(*args: Any, **sizes: Any) -> None:
        with torch.cuda.device_of(x):
            kernel(*args, **sizes)

    return launch_there


@no_type_check
@triton.jit
def sigmoid(x):
    """The logistic function."""
    return 1.0 / (1.0 + tl.exp2(x * -LOG2_E))


@no_type_check
@triton.jit
def _at(stream, place, axis, i: tl.constexpr, STEP: tl.constexpr):
    pointer, clip_stride, patch_stride = stream
    s, num_patches, start, _ = place
    clip, patch = tl.cast(s // num_patches, tl.int64), tl.cast(s % num_patches, tl.int64)
    chunk = pointer + clip * clip_stride + patch * patch_stride + tl.cast(start, tl.int64) * STEP
    # all steps of a chunk share the address in brackets
    return (chunk + axis[0]) + i * STEP


@no_type_check
@triton.jit
def _inside(place, axis, i: tl.constexpr):
    step = place[2] + i
    return (axis[0] < axis[1]) & (step >= 0) & (step < place[3])


@no_type_check
@triton.jit
def load(
    stream, place, axis, i: tl.constexpr, STEP: tl.constexpr, WHOLE: tl.constexpr, ACC: tl.constexpr
):
    """Load step ``i`` of a chunk; it is zero outside the steps and beyond the end of the axis."""
    at = _at(stream, place, axis, i, STEP)
    if WHOLE:
        return tl.load(at).to(ACC)
    return tl.load(at, mask=_inside(place, axis, i), other=0.0).to(ACC)


@no_type_check
@triton.jit
def store(stream, place, axis, i: tl.constexpr, STEP: tl.constexpr, value, WHOLE: tl.constexpr):
    """Write step ``i`` of a chunk, unless it is outside the steps or the axis."""
    at, value = _at(stream, place, axis, i, STEP), value.to(stream[0].dtype.element_ty)
    if WHOLE:
        tl.store(at, value)
    else:
        tl.store(at, value, mask=_inside(place, axis, i))


@no_type_check
@triton.jit
def load_chunk(
    stream,
    place,
    axis,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    STEP: tl.constexpr,
    WHOLE: tl.constexpr,
    ACC: tl.constexpr,
):
    """Load steps ``FIRST`` to ``LAST - 1`` of a chunk as a tuple."""
    values = ()
    for i in tl.static_range(FIRST, LAST):
        values = values + (load(stream, place, axis, i, STEP, WHOLE, ACC),)
    return values
