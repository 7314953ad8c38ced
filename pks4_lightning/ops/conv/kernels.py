"""Two Triton kernels for causal convolution with SiLU, each a single pass over memory.

A chunk of steps is loaded with the few steps before it (and, in the backward pass, after it) that
the taps need; the backward pass recomputes the input of SiLU. Gradients of taps and bias are stored
as one part per program, without atomics, so that every run gives the same bits.

Dimensions:
    E: channels, BLOCK_E of them per program
    K: taps
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives kernels' arguments their types
# ruff: noqa: E501 - long signatures stay on one line
# ruff: noqa: RUF005 - the compiler knows tuples' sum, not their unpacking
# mypy: ignore-errors

from typing import no_type_check

import triton
import triton.language as tl

from pks4_lightning.ops.triton_streams import load_chunk, sigmoid, store

__all__ = ["conv_backward_kernel", "conv_forward_kernel"]


@no_type_check
@triton.jit
def _load_taps(taps, e_E, E, K: tl.constexpr):
    values = ()
    for lag in tl.static_range(K):
        values = values + (tl.load(taps + lag * E + e_E, mask=e_E < E, other=0.0),)
    return values


@no_type_check
@triton.jit
def _convolve(xs, i: tl.constexpr, taps, bias_E, K: tl.constexpr):
    """The convolution at step ``i``; ``xs`` begins K - 1 steps before step 0."""
    y_E = bias_E
    for lag in tl.static_range(K):
        y_E += taps[lag] * xs[i + K - 1 - lag]
    return y_E


@no_type_check
@triton.jit(do_not_specialize=["num_sequences", "num_patches", "num_steps", "E"])
def conv_forward_kernel(
    x, taps, bias, y, num_sequences, num_patches, num_steps, E,
    STEPS: tl.constexpr, K: tl.constexpr, CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write ``y``; ``taps`` has K rows of E, current step first. STEPS: strides of x and y."""
    e_E = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E)
    channels = (e_E, E)
    taps_KE, bias_E = _load_taps(taps, e_E, E, K), tl.load(bias + e_E, mask=e_E < E, other=0.0)
    for s in range(tl.program_id(1), num_sequences, tl.num_programs(1)):
        for start in range(0, num_steps, CHUNK):
            place = (s, num_patches, start, num_steps)
            xs = load_chunk(x, place, channels, 1 - K, CHUNK, STEPS[0], False, ACC)
            for i in tl.static_range(CHUNK):
                h_E = _convolve(xs, i, taps_KE, bias_E, K)
                store(y, place, channels, i, STEPS[1], h_E * sigmoid(h_E), False)


@no_type_check
@triton.jit(do_not_specialize=["num_sequences", "num_patches", "num_steps", "E"])
def conv_backward_kernel(
    dy, x, taps, bias, dx, dtaps, dbias, num_sequences, num_patches, num_steps, E,
    STEPS: tl.constexpr, K: tl.constexpr, CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write ``dx``, and each program on the second axis its part of ``dtaps`` and ``dbias``.

    STEPS holds the step strides of dy, x and dx.
    """
    e_E = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E)
    channels = (e_E, E)
    taps_KE, bias_E = _load_taps(taps, e_E, E, K), tl.load(bias + e_E, mask=e_E < E, other=0.0)
    dbias_E = tl.zeros_like(bias_E)
    dtaps_KE = ()
    for _ in tl.static_range(K):
        dtaps_KE = dtaps_KE + (tl.zeros_like(bias_E),)
    for s in range(tl.program_id(1), num_sequences, tl.num_programs(1)):
        for start in range(0, num_steps, CHUNK):
            place = (s, num_patches, start, num_steps)
            xs = load_chunk(x, place, channels, 1 - K, CHUNK + K - 1, STEPS[1], False, ACC)
            dys = load_chunk(dy, place, channels, 0, CHUNK + K - 1, STEPS[0], False, ACC)
            dhs = ()
            for i in tl.static_range(CHUNK + K - 1):
                h_E = _convolve(xs, i, taps_KE, bias_E, K)
                open_E = sigmoid(h_E)
                dhs = dhs + (dys[i] * open_E * (1.0 + h_E * (1.0 - open_E)),)
            for i in tl.static_range(CHUNK):
                dbias_E += dhs[i]
                dx_E = tl.zeros_like(bias_E)
                for lag in tl.static_range(K):
                    dx_E += taps_KE[lag] * dhs[i + lag]
                store(dx, place, channels, i, STEPS[2], dx_E, False)
            sums = ()
            for lag in tl.static_range(K):
                sum_E = dtaps_KE[lag]
                for i in tl.static_range(CHUNK):
                    sum_E += dhs[i] * xs[i + K - 1 - lag]
                sums = sums + (sum_E,)
            dtaps_KE = sums
    share = tl.cast(tl.program_id(1), tl.int64) * E
    tl.store(dbias + share + e_E, dbias_E, mask=e_E < E)
    for lag in tl.static_range(K):
        tl.store(dtaps + (share * K + lag * E) + e_E, dtaps_KE[lag], mask=e_E < E)
