"""Forward Triton kernel of the selective scan: step size, scan, skip path and gate in one pass.

It is designed for many short sequences: a program keeps the state of a block of channels in
registers and scans along time, one sequence after another. Each of 32 consecutive threads holds all
states of its channels, so that the sum over states needs no exchange between threads. This layout
results from loading A in pieces of PIECE channels.

Weights are padded to whole blocks of channels and to N states, so only streams need masks.

Dimensions:
    T: time steps, CHUNK of them at a time
    E: inner channels, BLOCK_E of them per program
    N: state size, a power of two

Streams, ``place``, ``axis``, STEPS and the WHOLE flags are those of ``triton_streams``;
``channels`` and ``states`` are the axes of streams of E and of N.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives kernels' arguments their types
# ruff: noqa: RUF005 - the compiler knows tuples' sum, not their unpacking
# mypy: ignore-errors

# a kernel is compiled from its source, so it must not be wrapped by runtime signature checks
from typing import no_type_check

import triton
import triton.language as tl

from pks4_lightning.ops.triton_streams import LOG2_E, load, load_chunk, sigmoid, store

__all__ = ["scan_forward_kernel", "softplus_series"]


@no_type_check
@triton.jit
def softplus_series(x, s, TERMS: tl.constexpr):
    """Return the softplus of x, given s = z / (2 + z) and z = exp(-|x|).

    The series of log(1 + z) = 2 artanh(s) keeps all digits of small step sizes.
    """
    square = s * s
    series = tl.zeros_like(s) + 1.0 / (2 * TERMS + 1)
    for k in tl.static_range(TERMS):
        series = series * square + 1.0 / (2 * (TERMS - k) - 1)
    return tl.maximum(x, 0.0) + 2.0 * s * series


@no_type_check
@triton.jit
def _step_size(raw_E, bias_E, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr):
    step_E = raw_E
    if SOFTPLUS:
        x = raw_E + bias_E
        z = tl.exp2(tl.abs(x) * -LOG2_E)
        step_E = softplus_series(x, z / (2.0 + z), TERMS)
    return step_E


@no_type_check
@triton.jit(do_not_specialize=["num_sequences", "num_steps", "E", "ROW"])
def scan_forward_kernel(
    u, delta, rate, B, C, D, bias, gate, y, num_sequences, num_steps, E, ROW,
    PATCHES: tl.constexpr, STEPS: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, N: tl.constexpr, PIECE: tl.constexpr,
    ONE_CHUNK: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr,
    SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write ``y``; ``bias`` and ``gate`` may be None. ``rate`` has N rows of ROW, in base 2.

    STEPS holds the step strides of u, delta, B, C, gate and y.
    """
    e_E, n_N = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E), tl.arange(0, N)
    channels, states = (e_E, E), (n_N, N)
    at_EN = n_N[None, :] * ROW + e_E[:, None]
    at_EN = tl.max_contiguous(tl.multiple_of(at_EN, [PIECE, 1]), [PIECE, 1])
    rate_EN, D_E = tl.load(rate + at_EN), tl.load(D + e_E)
    bias_E = tl.zeros_like(D_E)
    if SOFTPLUS:
        bias_E = tl.load(bias + e_E)
    for s in range(tl.program_id(1), num_sequences, tl.num_programs(1)):
        x_EN = tl.zeros_like(rate_EN)
        for start in range(0, CHUNK if ONE_CHUNK else num_steps, CHUNK):
            # all loads come before the chunk's stores, because loads cannot be moved across them
            place = (s, PATCHES, start, num_steps)
            us = load_chunk(u, place, channels, 0, CHUNK, STEPS[0], WHOLE_E, ACC)
            raws = load_chunk(delta, place, channels, 0, CHUNK, STEPS[1], WHOLE_E, ACC)
            ys = ()
            for i in tl.static_range(CHUNK):
                delta_E = _step_size(raws[i], bias_E, SOFTPLUS, TERMS)
                B_N = load(B, place, states, i, STEPS[2], WHOLE_T, ACC)
                C_N = load(C, place, states, i, STEPS[3], WHOLE_T, ACC)
                write_E = delta_E * us[i]
                write_EN = write_E[:, None] * B_N[None, :]
                if ONE_CHUNK and i == 0:  # the initial state is zero
                    x_EN = write_EN
                    y_E = write_E * tl.sum(B_N * C_N, axis=0)
                else:
                    x_EN = tl.exp2(delta_E[:, None] * rate_EN) * x_EN + write_EN
                    y_E = tl.sum(C_N[None, :] * x_EN, axis=1)
                y_E += D_E * us[i]
                if gate is not None:
                    gate_E = load(gate, place, channels, i, STEPS[4], WHOLE_E, ACC)
                    y_E = y_E * gate_E * sigmoid(gate_E)
                ys = ys + (y_E,)
            for i in tl.static_range(CHUNK):
                store(y, place, channels, i, STEPS[5], ys[i], WHOLE_E)
