"""The selective scan's two Triton kernels: step size, scan, skip path and gate in one pass each way.

Made for short sequences in great number: a program keeps the state of a block of channels in
registers and walks along time, for one sequence after the other. The backward pass recomputes the
states from the inputs, a chunk of steps at a time, and leaves sums that programs share (gradients
of A, B, C, D and the bias) in parts: no atomics, the same bits on every run.

Weights and what is private to the kernels are padded to whole blocks of channels and to N states,
so only streams need masks. How a program's threads share the states follows from the pieces of
PIECE channels in which they load A: 32 threads side by side, each with all states of its channels,
for the forward pass, which sums over states; 8 by 4 for the backward pass, which sums over both.

Dimensions:
    T: time steps, CHUNK of them at a time
    E: inner channels, BLOCK_E of them per program
    N: state size, a power of two

Streams, ``place``, ``axis`` and the WHOLE flags are those of ``triton_streams``; ``channels`` and
``states`` are the axes of streams of E and of N.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives kernels' arguments their types
# ruff: noqa: E501 - signatures with the context of a program stay on one line
# ruff: noqa: RUF005 - the compiler knows tuples' sum, not their unpacking
# mypy: ignore-errors

# a kernel is compiled from its source; what checks signatures at run time would wrap it
from typing import no_type_check

import triton
import triton.language as tl

from pks4_lightning.ops.triton_streams import load, load_chunk, sigmoid, store

__all__ = ["scan_backward_kernel", "scan_forward_kernel"]

_LN_2 = tl.constexpr(0.6931471805599453)


@no_type_check
@triton.jit
def _softplus(x, TERMS: tl.constexpr):
    # log(1 + z) = 2 artanh(z / (2 + z)) as a series: small steps keep all their digits
    z = tl.exp(-tl.abs(x))
    s = z / (2.0 + z)
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
        step_E = _softplus(raw_E + bias_E, TERMS)
    return step_E


@no_type_check
@triton.jit
def _advance(x_EN, delta_E, u_E, rate_EN, B_N):
    decay_EN = tl.exp2(delta_E[:, None] * rate_EN)
    return decay_EN * x_EN + (delta_E * u_E)[:, None] * B_N[None, :]


@no_type_check
@triton.jit
def _read_out(x_EN, C_N, D_E, u_E):
    return tl.sum(C_N[None, :] * x_EN, axis=1) + D_E * u_E


@no_type_check
@triton.jit
def _in_pieces(e_E, n_N, ROW, PIECE: tl.constexpr):
    """Offsets in a matrix with N rows of ROW channels, which a thread takes PIECE at a time."""
    at_EN = n_N[None, :] * ROW + e_E[:, None]
    return tl.max_contiguous(tl.multiple_of(at_EN, [PIECE, 1]), [PIECE, 1])


@no_type_check
@triton.jit
def _weights(rate, D, bias, e_E, n_N, ROW, SOFTPLUS: tl.constexpr, PIECE: tl.constexpr):
    """Decay rates in units of log 2, the skip path's weights and the step size's bias."""
    rate_EN, D_E = tl.load(rate + _in_pieces(e_E, n_N, ROW, PIECE)), tl.load(D + e_E)
    bias_E = tl.zeros_like(D_E)
    if SOFTPLUS:
        bias_E = tl.load(bias + e_E)
    return rate_EN, D_E, bias_E


@no_type_check
@triton.jit(do_not_specialize=["num_sequences", "num_patches", "num_steps", "E", "ROW"])
def scan_forward_kernel(
    u, delta, rate, B, C, D, bias, gate, y, num_sequences, num_patches, num_steps, E, ROW,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, N: tl.constexpr, PIECE: tl.constexpr,
    WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write ``y``; ``bias`` and ``gate`` may be None."""
    e_E, n_N = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E), tl.arange(0, N)
    channels, states = (e_E, E), (n_N, N)
    rate_EN, D_E, bias_E = _weights(rate, D, bias, e_E, n_N, ROW, SOFTPLUS, PIECE)
    for s in range(tl.program_id(1), num_sequences, tl.num_programs(1)):
        x_EN = tl.zeros_like(rate_EN)
        for start in range(0, num_steps, CHUNK):
            # loads stand before the chunk's stores, which no load may overtake
            place = (s, num_patches, start, num_steps)
            us = load_chunk(u, place, channels, 0, CHUNK, WHOLE_E, ACC)
            raws = load_chunk(delta, place, channels, 0, CHUNK, WHOLE_E, ACC)
            ys = ()
            for i in tl.static_range(CHUNK):
                delta_E = _step_size(raws[i], bias_E, SOFTPLUS, TERMS)
                x_EN = _advance(
                    x_EN, delta_E, us[i], rate_EN, load(B, place, states, i, WHOLE_T, ACC)
                )
                y_E = _read_out(x_EN, load(C, place, states, i, WHOLE_T, ACC), D_E, us[i])
                if gate is not None:
                    gate_E = load(gate, place, channels, i, WHOLE_E, ACC)
                    y_E = y_E * gate_E * sigmoid(gate_E)
                ys = ys + (y_E,)
            for i in tl.static_range(CHUNK):
                store(y, place, channels, i, ys[i], WHOLE_E)


@no_type_check
@triton.jit
def _last_state(u, delta, B, weights, x_EN, place, channels, states, CHUNK: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """The state after a chunk, for the state before it."""
    rate_EN, _, bias_E = weights
    for i in tl.static_range(CHUNK):
        delta_E = _step_size(load(delta, place, channels, i, WHOLE_E, ACC), bias_E, SOFTPLUS, TERMS)
        u_E, B_N = (
            load(u, place, channels, i, WHOLE_E, ACC),
            load(B, place, states, i, WHOLE_T, ACC),
        )
        x_EN = _advance(x_EN, delta_E, u_E, rate_EN, B_N)
    return x_EN


@no_type_check
@triton.jit
def _chunk_gradients(
    inputs, outputs, weights, carry, x_EN, place, channels, states,
    CHUNK: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Store the gradients of a chunk's streams, and add to those carried from chunk to chunk.

    With g the gradient of a state, q = decay g is what the state before it receives, and
    q x_before the gradient of the log decay.
    """
    dy, u, delta, B, C, gate = inputs
    du, ddelta, dB, dC, dgate = outputs
    rate_EN, D_E, bias_E = weights
    q_EN, dA_EN, dD_E, dbias_E = carry
    xs, deltas = (x_EN,), ()
    for i in tl.static_range(CHUNK):
        delta_E = _step_size(load(delta, place, channels, i, WHOLE_E, ACC), bias_E, SOFTPLUS, TERMS)
        u_E, B_N = (
            load(u, place, channels, i, WHOLE_E, ACC),
            load(B, place, states, i, WHOLE_T, ACC),
        )
        deltas = deltas + (delta_E,)
        xs = xs + (_advance(xs[i], delta_E, u_E, rate_EN, B_N),)
    for i in tl.static_range(CHUNK - 1, -1, -1):
        # loaded again from the cache: registers are short
        u_E, dy_E = (
            load(u, place, channels, i, WHOLE_E, ACC),
            load(dy, place, channels, i, WHOLE_E, ACC),
        )
        B_N, C_N = load(B, place, states, i, WHOLE_T, ACC), load(C, place, states, i, WHOLE_T, ACC)
        delta_E = deltas[i]
        write_E = delta_E * u_E
        if gate is not None:
            gate_E = load(gate, place, channels, i, WHOLE_E, ACC)
            open_E = sigmoid(gate_E)
            dopen_E = dy_E * _read_out(xs[i + 1], C_N, D_E, u_E)
            store(
                dgate,
                place,
                channels,
                i,
                dopen_E * open_E * (1.0 + gate_E * (1.0 - open_E)),
                WHOLE_E,
            )
            dy_E = dy_E * gate_E * open_E
        store(dC, place, states, i, tl.sum(dy_E[:, None] * xs[i + 1], axis=0), WHOLE_T)
        g_EN = C_N[None, :] * dy_E[:, None] + q_EN
        store(dB, place, states, i, tl.sum(g_EN * write_E[:, None], axis=0), WHOLE_T)
        dwrite_E = tl.sum(g_EN * B_N[None, :], axis=1)
        q_EN = g_EN * tl.exp2(delta_E[:, None] * rate_EN)
        dlog_EN = q_EN * xs[i]
        dA_EN += dlog_EN * delta_E[:, None]
        ddelta_E = dwrite_E * u_E + tl.sum(dlog_EN * rate_EN, axis=1) * _LN_2
        if SOFTPLUS:
            ddelta_E = ddelta_E * sigmoid(load(delta, place, channels, i, WHOLE_E, ACC) + bias_E)
            dbias_E += ddelta_E
        dD_E += dy_E * u_E
        store(du, place, channels, i, D_E * dy_E + dwrite_E * delta_E, WHOLE_E)
        store(ddelta, place, channels, i, ddelta_E, WHOLE_E)
    return q_EN, dA_EN, dD_E, dbias_E


@no_type_check
@triton.jit(do_not_specialize=["first", "last", "num_patches", "num_steps", "E", "ROW"])
def scan_backward_kernel(
    dy, u, delta, rate, B, C, D, bias, gate, du, ddelta, dgate, dA, dB, dC, dD, dbias, boundaries,
    first, last, num_patches, num_steps, E, ROW,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, N: tl.constexpr, PIECE: tl.constexpr,
    WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write the streams' gradients and parts of the others, for sequences ``first`` to ``last``.

    dB and dC hold one part per block of channels, dA, dD and dbias one per program on the second
    axis. ``boundaries`` holds a program's states between chunks; None if one chunk is enough.
    """
    e_E, n_N = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E), tl.arange(0, N)
    channels, states = (e_E, E), (n_N, N)
    weights = _weights(rate, D, bias, e_E, n_N, ROW, SOFTPLUS, PIECE)
    row = tl.cast(num_steps, tl.int64) * N
    part = (tl.cast(tl.program_id(0), tl.int64) * (last - first) - first) * row
    inputs = (dy, u, delta, B, C, gate)
    outputs = (
        du,
        ddelta,
        (dB + part, row * num_patches, row, N),
        (dC + part, row * num_patches, row, N),
        dgate,
    )
    num_chunks = tl.cdiv(num_steps, CHUNK)
    if boundaries is not None:
        program = tl.cast(tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.int64)
        mine_EN = (
            boundaries
            + program * num_chunks * (BLOCK_E * N)
            + _in_pieces(tl.arange(0, BLOCK_E), n_N, BLOCK_E, PIECE)
        )

    zero_EN, zero_E = tl.zeros_like(weights[0]), tl.zeros_like(weights[1])
    dA_EN, dD_E, dbias_E = zero_EN, zero_E, zero_E
    for s in range(first + tl.program_id(1), last, tl.num_programs(1)):
        if boundaries is not None:
            x_EN = zero_EN
            tl.store(mine_EN, x_EN)
            for chunk in range(1, num_chunks):
                place = (s, num_patches, (chunk - 1) * CHUNK, num_steps)
                x_EN = _last_state(
                    u,
                    delta,
                    B,
                    weights,
                    x_EN,
                    place,
                    channels,
                    states,
                    CHUNK,
                    WHOLE_T,
                    WHOLE_E,
                    SOFTPLUS,
                    TERMS,
                    ACC,
                )
                tl.store(mine_EN + chunk * (BLOCK_E * N), x_EN)
            # what one thread stored another may load
            tl.debug_barrier()
        q_EN = zero_EN
        for later in range(num_chunks):
            chunk = num_chunks - 1 - later
            before_EN = zero_EN
            if boundaries is not None:
                before_EN = tl.load(mine_EN + chunk * (BLOCK_E * N))
            place = (s, num_patches, chunk * CHUNK, num_steps)
            q_EN, dA_EN, dD_E, dbias_E = _chunk_gradients(
                inputs, outputs, weights, (q_EN, dA_EN, dD_E, dbias_E), before_EN,
                place, channels, states, CHUNK, WHOLE_T, WHOLE_E, SOFTPLUS, TERMS, ACC,
            )  # fmt: skip
        if boundaries is not None:
            tl.debug_barrier()
    share = tl.cast(tl.program_id(1), tl.int64) * ROW
    tl.store(dA + share * N + _in_pieces(e_E, n_N, ROW, PIECE), dA_EN)
    tl.store(dD + share + e_E, dD_E)
    if SOFTPLUS:
        tl.store(dbias + share + e_E, dbias_E)
