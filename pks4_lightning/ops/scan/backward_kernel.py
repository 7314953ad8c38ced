"""Backward Triton kernel of the selective scan: all gradients in one pass over the streams.

A program scans along time for a block of 32 channels, one sequence after another. It recomputes the
states from the inputs, a chunk of steps at a time. Sums over several programs (gradients of A, B,
C, D and the bias) are stored as one part per program, without atomics, so that every run gives the
same bits.

The kernel is bound by its number of instructions, so the shapes of its tensors determine which
thread holds which values. A program is one warp, and ``lane`` is the thread. Two neighbouring
threads share two channels: each computes the values that have no state axis (step size, gate) for
one channel, and half of the states, ``NR * NV``, for both. Tensors of states are pairs, for the
even and the odd channel, of shape (NR, lanes, NV); ``_to_pair`` and ``_from_pair`` convert between
the two forms. Sums over channels are a matrix product with ones through shared memory, which takes
fewer instructions than sums across threads. The result does not depend on the compiler's layout.

Dimensions:
    T: time steps, CHUNK of them at a time
    E: inner channels, 32 of them per program, one per lane
    N: state size, 2 NR NV

Streams, ``place``, ``axis``, STEPS, PATCHES and the WHOLE flags are those of ``triton_streams``.
``axes`` holds the axis of streams of E, the axis of streams of N, and ``lane``.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives kernels' arguments their types
# ruff: noqa: E501 - long signatures stay on one line
# ruff: noqa: RUF005 - the compiler knows tuples' sum, not their unpacking
# ruff: noqa: SIM300 - the compiler compares a constant with a type, not a type with a constant
# mypy: ignore-errors

# a kernel is compiled from its source, so it must not be wrapped by runtime signature checks
from typing import no_type_check

import triton
import triton.language as tl

from pks4_lightning.ops.scan.forward_kernel import softplus_series
from pks4_lightning.ops.triton_streams import LOG2_E, load, sigmoid, store

__all__ = ["LANES", "scan_backward_kernel"]

LANES = 32
_LANES = tl.constexpr(LANES)
_LN_2 = tl.constexpr(0.6931471805599453)


@no_type_check
@triton.jit
def _to_pair(x_E, lane):
    """Give both threads of a pair the values of both channels."""
    return tl.gather(x_E, lane & -2, 0)[None, :, None], tl.gather(x_E, lane | 1, 0)[None, :, None]


@no_type_check
@triton.jit
def _to_pair_anew(x_E, lane):
    """As ``_to_pair``, written differently so that the compiler does not keep earlier results."""
    other_E, is_even = tl.gather(x_E, lane ^ 1, 0), lane % 2 == 0
    even, odd = tl.where(is_even, x_E, other_E), tl.where(is_even, other_E, x_E)
    return even[None, :, None], odd[None, :, None]


@no_type_check
@triton.jit
def _from_pair(even, odd, lane):
    """Sum over the states of both threads of a pair; each lane gets its own channel's sum."""
    even, odd = tl.sum(tl.sum(even, axis=0), axis=1), tl.sum(tl.sum(odd, axis=0), axis=1)
    is_even = lane % 2 == 0
    return tl.where(is_even, even, odd) + tl.gather(tl.where(is_even, odd, even), lane ^ 1, 0)


@no_type_check
@triton.jit
def _step_size(raw_E, bias_E, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr):
    """Return the step size and its derivative with a single division, because these are slow."""
    step_E, slope_E = raw_E, tl.zeros_like(raw_E)
    if SOFTPLUS:
        x = raw_E + bias_E
        z = tl.exp2(tl.abs(x) * -LOG2_E)
        inverse = 1.0 / ((1.0 + z) * (2.0 + z))
        step_E = softplus_series(x, z * (1.0 + z) * inverse, TERMS)
        slope_E = tl.where(x < 0.0, z, 1.0) * (2.0 + z) * inverse
    return step_E, slope_E


@no_type_check
@triton.jit
def _written(delta_E, u_E, B_N, lane):
    even, odd = _to_pair(delta_E * u_E, lane)
    return even * B_N, odd * B_N


@no_type_check
@triton.jit
def _states(
    inputs, weights, x, place, axes, STEPS: tl.constexpr,
    CHUNK: tl.constexpr, FROM_ZERO: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Return the states before and after each step of a chunk, the step sizes and their slopes."""
    _, u, delta, B, _, _ = inputs
    rate, _, bias = weights
    channels, states, lane = axes
    # loaded for every chunk, because registers are scarce
    rate_even, rate_odd = tl.load(rate[0]), tl.load(rate[1])
    bias_E = 0.0
    if SOFTPLUS:
        bias_E = tl.load(bias)
    xs, deltas, slopes = (x,), (), ()
    for i in tl.static_range(CHUNK):
        raw_E = load(delta, place, channels, i, STEPS[2], WHOLE_E, ACC)
        delta_E, slope_E = _step_size(raw_E, bias_E, SOFTPLUS, TERMS)
        d = _to_pair(delta_E, lane)
        u_E = load(u, place, channels, i, STEPS[1], WHOLE_E, ACC)
        B_N = load(B, place, states, i, STEPS[3], WHOLE_T, ACC)
        x = _written(delta_E, u_E, B_N, lane)
        if i > 0 or not FROM_ZERO:
            x = (
                tl.exp2(d[0] * rate_even) * xs[i][0] + x[0],
                tl.exp2(d[1] * rate_odd) * xs[i][1] + x[1],
            )
        xs, deltas, slopes = xs + (x,), deltas + (delta_E,), slopes + (slope_E,)
    return xs, deltas, slopes


@no_type_check
@triton.jit
def _store_shared(dBC, place, i: tl.constexpr, dB, dC, NR: tl.constexpr, NV: tl.constexpr, WHOLE_T: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Store a step's gradients of B and C, summed over the block's channels."""
    N: tl.constexpr = 2 * NR * NV
    parts = tl.reshape(tl.join(dB, dC), (NR, _LANES // 2, 2, NV, 2))
    parts = tl.reshape(tl.permute(parts, (1, 4, 0, 2, 3)), (_LANES // 2, 2 * N))
    if ACC == tl.float64:  # Triton 3.7 cannot compile this product
        both = tl.sum(parts, axis=0)[None, :]
    else:
        ones = tl.full((1, _LANES // 2), 1.0, ACC)
        both = tl.dot(ones, parts, input_precision="ieee")
    pointer, between, row = dBC
    column = tl.arange(0, 2 * N)[None, :]
    at = pointer + place[0] * row + tl.cast(place[2] + i, tl.int64) * N
    at = at + (column // N) * between + column % N
    if WHOLE_T:
        tl.store(at, both)
    else:
        tl.store(at, both, mask=(column >= 0) & (place[2] + i < place[3]))


@no_type_check
@triton.jit
def _chunk_gradients(
    inputs, outputs, weights, carry, x, place, axes, STEPS: tl.constexpr, NR: tl.constexpr, NV: tl.constexpr,
    CHUNK: tl.constexpr, FROM_ZERO: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Store the gradients of a chunk's streams, and update those carried from chunk to chunk.

    If g is the gradient of a state, q = decay g is the gradient that the previous state receives,
    and q x_before is the gradient of the log decay.
    """
    dy, u, _, B, C, gate = inputs
    du, ddelta, dgate, dBC = outputs
    rate, D_E, _ = weights
    q, dA, dD_E, dbias_E = carry
    channels, states, lane = axes
    xs, deltas, slopes = _states(
        inputs, weights, x, place, axes, STEPS,
        CHUNK, FROM_ZERO, WHOLE_T, WHOLE_E, SOFTPLUS, TERMS, ACC,
    )  # fmt: skip
    rate_even, rate_odd = tl.load(rate[0]), tl.load(rate[1])
    for i in tl.static_range(CHUNK - 1, -1, -1):
        # loaded and computed again, because registers are scarce
        u_E = load(u, place, channels, i, STEPS[1], WHOLE_E, ACC)
        dy_E = load(dy, place, channels, i, STEPS[0], WHOLE_E, ACC)
        B_N = load(B, place, states, i, STEPS[3], WHOLE_T, ACC)
        C_N = load(C, place, states, i, STEPS[4], WHOLE_T, ACC)
        delta_E, x, before = deltas[i], xs[i + 1], xs[i]
        if gate is not None:
            gate_E = load(gate, place, channels, i, STEPS[5], WHOLE_E, ACC)
            open_E = sigmoid(gate_E)
            dopen_E = dy_E * (_from_pair(C_N * x[0], C_N * x[1], lane) + D_E * u_E)
            dgate_E = dopen_E * open_E * (1.0 + gate_E * (1.0 - open_E))
            store(dgate, place, channels, i, STEPS[8], dgate_E, WHOLE_E)
            dy_E = dy_E * gate_E * open_E
        dy_pair, write = _to_pair(dy_E, lane), _to_pair(delta_E * u_E, lane)
        g = (C_N * dy_pair[0] + q[0], C_N * dy_pair[1] + q[1])
        _store_shared(
            dBC, place, i,
            g[0] * write[0] + g[1] * write[1], dy_pair[0] * x[0] + dy_pair[1] * x[1],
            NR, NV, WHOLE_T, ACC,
        )  # fmt: skip
        dwrite_E = _from_pair(g[0] * B_N, g[1] * B_N, lane)
        ddelta_E = dwrite_E * u_E
        if i > 0 or not FROM_ZERO:
            if FROM_ZERO and i == 1:
                first_E = load(u, place, channels, 0, STEPS[1], WHOLE_E, ACC)
                first_N = load(B, place, states, 0, STEPS[3], WHOLE_T, ACC)
                before = _written(deltas[0], first_E, first_N, lane)
                xs = (xs[0], before) + xs[2:]
            d = _to_pair_anew(delta_E, lane)
            q = (g[0] * tl.exp2(d[0] * rate_even), g[1] * tl.exp2(d[1] * rate_odd))
            dlog_even, dlog_odd = q[0] * before[0], q[1] * before[1]
            dA = (dA[0] + dlog_even * d[0], dA[1] + dlog_odd * d[1])
            ddelta_E += _from_pair(dlog_even * rate_even, dlog_odd * rate_odd, lane) * _LN_2
        if SOFTPLUS:
            ddelta_E = ddelta_E * slopes[i]
            dbias_E += ddelta_E
        dD_E += dy_E * u_E
        store(du, place, channels, i, STEPS[6], D_E * dy_E + dwrite_E * delta_E, WHOLE_E)
        store(ddelta, place, channels, i, STEPS[7], ddelta_E, WHOLE_E)
    return q, dA, dD_E, dbias_E


@no_type_check
@triton.jit(do_not_specialize=["first", "last", "num_steps", "E", "ROW"])
def scan_backward_kernel(
    dy, u, delta, rate, B, C, D, bias, gate, du, ddelta, dgate, dA, dBC, dD, dbias, boundaries,
    first, last, num_steps, E, ROW,
    PATCHES: tl.constexpr, STEPS: tl.constexpr, CHUNK: tl.constexpr, NR: tl.constexpr, NV: tl.constexpr,
    WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write the streams' gradients and parts of the others, for sequences ``first`` to ``last``.

    ``rate`` has ROW rows of N, in base 2. ``dBC`` holds the gradients of B, then those of C, one
    part per block of channels; dA, dD and dbias have one part per program on the second axis.
    ``boundaries`` holds a program's states between chunks; None if one chunk is enough.

    STEPS holds the step strides of dy, u, delta, B, C, gate, du, ddelta and dgate.
    """
    N: tl.constexpr = 2 * NR * NV
    lane, block = tl.arange(0, _LANES), tl.program_id(0)
    e_E = block * _LANES + lane
    half_N = (lane % 2)[None, :, None] * NV + tl.arange(0, NV)[None, None, :]
    n_N = tl.arange(0, NR)[:, None, None] * (2 * NV) + half_N
    axes = ((e_E, E), (n_N, N), lane)
    even_EN = (lane & -2)[None, :, None] * N + n_N
    at_EN = block * (_LANES * N) + even_EN
    D_E = tl.load(D + e_E)
    if SOFTPLUS:
        bias = bias + e_E
    weights = ((rate + at_EN, rate + at_EN + N), D_E, bias)
    row = tl.cast(num_steps, tl.int64) * N
    part = dBC + (tl.cast(block, tl.int64) * (last - first) - first) * row
    inputs = (dy, u, delta, B, C, gate)
    outputs = (du, ddelta, dgate, (part, tl.num_programs(0) * (last - first) * row, row))
    num_chunks = 1 if boundaries is None else tl.cdiv(num_steps, CHUNK)
    zero_EN, zero_E = tl.zeros((NR, _LANES, NV), ACC), tl.zeros_like(D_E)
    zeros = (zero_EN, zero_EN)
    dA_EN, dD_E, dbias_E = zeros, zero_E, zero_E
    if boundaries is not None:
        program = tl.cast(tl.program_id(1) * tl.num_programs(0) + block, tl.int64)
        mine = boundaries + program * num_chunks * (_LANES * N) + even_EN
    for s in range(first + tl.program_id(1), last, tl.num_programs(1)):
        if boundaries is not None:
            x = zeros
            for chunk in range(1, num_chunks):
                place = (s, PATCHES, (chunk - 1) * CHUNK, num_steps)
                xs, _, _ = _states(
                    inputs, weights, x, place, axes, STEPS,
                    CHUNK, False, WHOLE_T, WHOLE_E, SOFTPLUS, TERMS, ACC,
                )  # fmt: skip
                x = xs[CHUNK]
                tl.store(mine + chunk * (_LANES * N), x[0])
                tl.store(mine + chunk * (_LANES * N) + N, x[1])
            # a thread may load what another one has stored
            tl.debug_barrier()
        q = zeros
        for later in range(num_chunks):
            chunk = num_chunks - 1 - later
            before = zeros
            if boundaries is not None:
                is_later = chunk > 0
                before = (
                    tl.load(mine + chunk * (_LANES * N), mask=is_later, other=0.0),
                    tl.load(mine + chunk * (_LANES * N) + N, mask=is_later, other=0.0),
                )
            q, dA_EN, dD_E, dbias_E = _chunk_gradients(
                inputs, outputs, weights, (q, dA_EN, dD_E, dbias_E), before,
                (s, PATCHES, chunk * CHUNK, num_steps), axes, STEPS, NR, NV,
                CHUNK, boundaries is None, WHOLE_T, WHOLE_E, SOFTPLUS, TERMS, ACC,
            )  # fmt: skip
        if boundaries is not None:
            tl.debug_barrier()
    share = tl.cast(tl.program_id(1), tl.int64) * ROW
    tl.store(dA + share * N + at_EN, dA_EN[0])
    tl.store(dA + share * N + at_EN + N, dA_EN[1])
    tl.store(dD + share + e_E, dD_E)
    if SOFTPLUS:
        tl.store(dbias + share + e_E, dbias_E)
