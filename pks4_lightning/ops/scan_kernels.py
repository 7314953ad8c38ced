"""The selective scan's two Triton kernels: step size, scan, skip path and gate in one pass each way.

Made for short sequences in great number: a program keeps the state of a block of channels in
registers and walks along time, for one sequence after the other. The backward pass recomputes the
states from the inputs, a chunk of steps at a time, and leaves sums that programs share (gradients
of A, B, C, D and the bias) in parts: no atomics, the same bits on every run.

Dimensions:
    S: sequences, on two axes (clips, patches), anywhere in memory
    T: time steps
    E: inner channels, BLOCK_E of them per program
    N: state size, in G groups of J: a thread holds all groups, neighbouring threads share J

What the helpers pass around:
    stream: pointer, clip stride, patch stride, step stride; the last axis is contiguous
    place: sequence, patches per clip, first step of the chunk, steps
    channels, states: index along the last axis of a stream, its size
    WHOLE: no value of a chunk lies beyond the last step or the end of the axis; WHOLE_T of states,
        WHOLE_E of channels. An argument of its own: Triton 3.7 forgets what is constant in tuples
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives kernels' arguments their types
# ruff: noqa: E501 - signatures with the context of a program stay on one line
# ruff: noqa: RUF005 - the compiler knows tuples' sum, not their unpacking
# mypy: ignore-errors

# a kernel is compiled from its source; what checks signatures at run time would wrap it
from typing import no_type_check

import triton
import triton.language as tl

__all__ = ["scan_backward_kernel", "scan_forward_kernel"]

_LOG2_E = tl.constexpr(1.4426950408889634)
_LN_2 = tl.constexpr(0.6931471805599453)


@no_type_check
@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


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
def _at(stream, place, i):
    s, num_patches, start, _ = place
    clip, patch = tl.cast(s // num_patches, tl.int64), tl.cast(s % num_patches, tl.int64)
    return (
        stream[0] + clip * stream[1] + patch * stream[2] + tl.cast(start + i, tl.int64) * stream[3]
    )


@no_type_check
@triton.jit
def _inside(place, axis, i: tl.constexpr):
    """Which values exist at step ``i`` of a chunk."""
    return axis[0] < tl.where(place[2] + i < place[3], axis[1], 0)


@no_type_check
@triton.jit
def _load(stream, place, axis, i: tl.constexpr, WHOLE: tl.constexpr, ACC: tl.constexpr):
    """Step ``i`` of a chunk, zero beyond the last step and the end of the axis."""
    at = _at(stream, place, i) + axis[0]
    if WHOLE:
        return tl.load(at).to(ACC)
    return tl.load(at, mask=_inside(place, axis, i), other=0.0).to(ACC)


@no_type_check
@triton.jit
def _store(stream, place, axis, i: tl.constexpr, value, WHOLE: tl.constexpr):
    at, value = _at(stream, place, i) + axis[0], value.to(stream[0].dtype.element_ty)
    if WHOLE:
        tl.store(at, value)
    else:
        tl.store(at, value, mask=_inside(place, axis, i))


@no_type_check
@triton.jit
def _load_chunk(stream, place, axis, CHUNK: tl.constexpr, WHOLE: tl.constexpr, ACC: tl.constexpr):
    values = ()
    for i in tl.static_range(CHUNK):
        values = values + (_load(stream, place, axis, i, WHOLE, ACC),)
    return values


@no_type_check
@triton.jit
def _step_size(raw_E, bias_E, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr):
    step_E = raw_E
    if SOFTPLUS:
        step_E = _softplus(raw_E + bias_E, TERMS)
    return step_E


@no_type_check
@triton.jit
def _advance(x_GEJ, delta_E, u_E, A_GEJ, B_GJ):
    decay_GEJ = tl.exp2(delta_E[None, :, None] * A_GEJ)
    return decay_GEJ * x_GEJ + (delta_E * u_E)[None, :, None] * B_GJ[:, None, :]


@no_type_check
@triton.jit
def _over_states(x_GEJ):
    return tl.sum(tl.sum(x_GEJ, axis=0), axis=1)


@no_type_check
@triton.jit
def _read_out(x_GEJ, C_GJ, D_E, u_E):
    return _over_states(C_GJ[:, None, :] * x_GEJ) + D_E * u_E


@no_type_check
@triton.jit
def _indices(BLOCK_E: tl.constexpr, G: tl.constexpr, J: tl.constexpr):
    """Channels and states of this program; A, B and C are padded to all states."""
    e_E = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E)
    n_GJ = tl.arange(0, G)[:, None] * J + tl.arange(0, J)[None, :]
    return e_E, n_GJ


@no_type_check
@triton.jit
def _load_per_channel(weight, e_E, E, ACC: tl.constexpr):
    return tl.load(weight + e_E, mask=e_E < E, other=0.0).to(ACC)


@no_type_check
@triton.jit
def _load_decay_rates(A, e_E, n_GJ, E, ACC: tl.constexpr):
    """A in units of log 2."""
    at_GEJ = A[0] + e_E[None, :, None] * A[1] + n_GJ[:, None, :] * A[2]
    in_GEJ = (e_E < E)[None, :, None] & (n_GJ >= 0)[:, None, :]
    return tl.load(at_GEJ, mask=in_GEJ, other=0.0).to(ACC) * _LOG2_E


@no_type_check
@triton.jit(do_not_specialize=["num_sequences", "num_patches", "num_steps", "E"])
def scan_forward_kernel(
    u, delta, A, B, C, D, bias, gate, y, num_sequences, num_patches, num_steps, E,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, G: tl.constexpr, J: tl.constexpr,
    WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write ``y``; ``bias`` and ``gate`` may be None."""
    e_E, n_GJ = _indices(BLOCK_E, G, J)
    channels, states = (e_E, E), (n_GJ, G * J)
    A_GEJ, D_E = _load_decay_rates(A, e_E, n_GJ, E, ACC), _load_per_channel(D, e_E, E, ACC)
    bias_E = tl.zeros_like(D_E)
    if SOFTPLUS:
        bias_E = _load_per_channel(bias, e_E, E, ACC)
    for s in range(tl.program_id(1), num_sequences, tl.num_programs(1)):
        x_GEJ = tl.zeros_like(A_GEJ)
        for start in range(0, num_steps, CHUNK):
            # loads stand before the chunk's stores, which no load may overtake
            place = (s, num_patches, start, num_steps)
            us = _load_chunk(u, place, channels, CHUNK, WHOLE_E, ACC)
            raws = _load_chunk(delta, place, channels, CHUNK, WHOLE_E, ACC)
            ys = ()
            for i in tl.static_range(CHUNK):
                delta_E = _step_size(raws[i], bias_E, SOFTPLUS, TERMS)
                B_GJ, C_GJ = (
                    _load(B, place, states, i, WHOLE_T, ACC),
                    _load(C, place, states, i, WHOLE_T, ACC),
                )
                x_GEJ = _advance(x_GEJ, delta_E, us[i], A_GEJ, B_GJ)
                y_E = _read_out(x_GEJ, C_GJ, D_E, us[i])
                if gate is not None:
                    gate_E = _load(gate, place, channels, i, WHOLE_E, ACC)
                    y_E = y_E * gate_E * _sigmoid(gate_E)
                ys = ys + (y_E,)
            for i in tl.static_range(CHUNK):
                _store(y, place, channels, i, ys[i], WHOLE_E)


@no_type_check
@triton.jit
def _last_state(u, delta, B, weights, x_GEJ, place, channels, states, CHUNK: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """The state after a chunk, for the state before it."""
    for i in tl.static_range(CHUNK):
        delta_E = _step_size(
            _load(delta, place, channels, i, WHOLE_E, ACC), weights[2], SOFTPLUS, TERMS
        )
        u_E, B_GJ = (
            _load(u, place, channels, i, WHOLE_E, ACC),
            _load(B, place, states, i, WHOLE_T, ACC),
        )
        x_GEJ = _advance(x_GEJ, delta_E, u_E, weights[0], B_GJ)
    return x_GEJ


@no_type_check
@triton.jit
def _chunk_gradients(
    inputs, outputs, weights, carry, x_GEJ, place, channels, states,
    CHUNK: tl.constexpr, WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Store the gradients of a chunk's streams, and add to those carried from chunk to chunk.

    With g the gradient of a state, q = decay g is what the state before it receives, and
    q x_before the gradient of the log decay.
    """
    dy, u, delta, B, C, gate = inputs
    du, ddelta, dB, dC, dgate = outputs
    A_GEJ, D_E, bias_E = weights
    q_GEJ, dA_GEJ, dD_E, dbias_E = carry
    xs = (x_GEJ,)
    for i in tl.static_range(CHUNK):
        raw_E, u_E = (
            _load(delta, place, channels, i, WHOLE_E, ACC),
            _load(u, place, channels, i, WHOLE_E, ACC),
        )
        B_GJ = _load(B, place, states, i, WHOLE_T, ACC)
        xs = xs + (_advance(xs[i], _step_size(raw_E, bias_E, SOFTPLUS, TERMS), u_E, A_GEJ, B_GJ),)
    for i in tl.static_range(CHUNK - 1, -1, -1):
        # loaded again from the cache: registers are short
        raw_E, u_E = (
            _load(delta, place, channels, i, WHOLE_E, ACC),
            _load(u, place, channels, i, WHOLE_E, ACC),
        )
        B_GJ, C_GJ = (
            _load(B, place, states, i, WHOLE_T, ACC),
            _load(C, place, states, i, WHOLE_T, ACC),
        )
        dy_E = _load(dy, place, channels, i, WHOLE_E, ACC)
        delta_E = _step_size(raw_E, bias_E, SOFTPLUS, TERMS)
        if gate is not None:
            gate_E = _load(gate, place, channels, i, WHOLE_E, ACC)
            open_E = _sigmoid(gate_E)
            y_E = _read_out(xs[i + 1], C_GJ, D_E, u_E)
            _store(
                dgate,
                place,
                channels,
                i,
                dy_E * y_E * open_E * (1.0 + gate_E * (1.0 - open_E)),
                WHOLE_E,
            )
            dy_E = dy_E * gate_E * open_E
        _store(dC, place, states, i, tl.sum(dy_E[None, :, None] * xs[i + 1], axis=1), WHOLE_T)
        g_GEJ = C_GJ[:, None, :] * dy_E[None, :, None] + q_GEJ
        _store(
            dB, place, states, i, tl.sum(g_GEJ * (delta_E * u_E)[None, :, None], axis=1), WHOLE_T
        )
        dwrite_E = _over_states(g_GEJ * B_GJ[:, None, :])
        q_GEJ = g_GEJ * tl.exp2(delta_E[None, :, None] * A_GEJ)
        dlog_GEJ = q_GEJ * xs[i]
        dA_GEJ += dlog_GEJ * delta_E[None, :, None]
        ddelta_E = dwrite_E * u_E + _over_states(dlog_GEJ * A_GEJ) * _LN_2
        if SOFTPLUS:
            ddelta_E = ddelta_E * _sigmoid(raw_E + bias_E)
            dbias_E += ddelta_E
        dD_E += dy_E * u_E
        _store(du, place, channels, i, D_E * dy_E + dwrite_E * delta_E, WHOLE_E)
        _store(ddelta, place, channels, i, ddelta_E, WHOLE_E)
    return q_GEJ, dA_GEJ, dD_E, dbias_E


@no_type_check
@triton.jit(do_not_specialize=["first", "last", "num_patches", "num_steps", "E"])
def scan_backward_kernel(
    dy, u, delta, A, B, C, D, bias, gate, du, ddelta, dgate, dA, dB, dC, dD, dbias, boundaries,
    first, last, num_patches, num_steps, E,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, G: tl.constexpr, J: tl.constexpr,
    WHOLE_T: tl.constexpr, WHOLE_E: tl.constexpr, SOFTPLUS: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write the streams' gradients and parts of the others, for sequences ``first`` to ``last``.

    dB and dC hold one part per block of channels, dA, dD and dbias one per program on the second
    axis. ``boundaries`` holds a program's states between chunks; None if one chunk is enough.
    """
    e_E, n_GJ = _indices(BLOCK_E, G, J)
    channels, states = (e_E, E), (n_GJ, G * J)
    A_GEJ, D_E = _load_decay_rates(A, e_E, n_GJ, E, ACC), _load_per_channel(D, e_E, E, ACC)
    bias_E = tl.zeros_like(D_E)
    if SOFTPLUS:
        bias_E = _load_per_channel(bias, e_E, E, ACC)
    weights = (A_GEJ, D_E, bias_E)
    row = tl.cast(num_steps, tl.int64) * (G * J)
    part = (tl.cast(tl.program_id(0), tl.int64) * (last - first) - first) * row
    inputs = (dy, u, delta, B, C, gate)
    outputs = (du, ddelta, (dB + part, row * num_patches, row, G * J), (dC + part, row * num_patches, row, G * J), dgate)  # fmt: skip
    num_chunks = tl.cdiv(num_steps, CHUNK)
    if boundaries is not None:
        program = tl.cast(tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.int64)
        ge_GE = tl.arange(0, G)[:, None] * BLOCK_E + tl.arange(0, BLOCK_E)[None, :]
        in_block_GEJ = ge_GE[:, :, None] * J + tl.arange(0, J)[None, None, :]
        mine_GEJ = boundaries + program * num_chunks * (G * BLOCK_E * J) + in_block_GEJ

    zero_GEJ, zero_E = tl.zeros_like(A_GEJ), tl.zeros_like(D_E)
    dA_GEJ, dD_E, dbias_E = zero_GEJ, zero_E, zero_E
    for s in range(first + tl.program_id(1), last, tl.num_programs(1)):
        if boundaries is not None:
            x_GEJ = zero_GEJ
            tl.store(mine_GEJ, x_GEJ)
            for chunk in range(1, num_chunks):
                place = (s, num_patches, (chunk - 1) * CHUNK, num_steps)
                x_GEJ = _last_state(u, delta, B, weights, x_GEJ, place, channels, states, CHUNK, WHOLE_T, WHOLE_E, SOFTPLUS, TERMS, ACC)  # fmt: skip
                tl.store(mine_GEJ + chunk * (G * BLOCK_E * J), x_GEJ)
            # what one thread stored another may load
            tl.debug_barrier()
        q_GEJ = zero_GEJ
        for later in range(num_chunks):
            chunk = num_chunks - 1 - later
            before_GEJ = zero_GEJ
            if boundaries is not None:
                before_GEJ = tl.load(mine_GEJ + chunk * (G * BLOCK_E * J))
            place = (s, num_patches, chunk * CHUNK, num_steps)
            q_GEJ, dA_GEJ, dD_E, dbias_E = _chunk_gradients(
                inputs, outputs, weights, (q_GEJ, dA_GEJ, dD_E, dbias_E), before_GEJ,
                place, channels, states, CHUNK, WHOLE_T, WHOLE_E, SOFTPLUS, TERMS, ACC,
            )  # fmt: skip
        if boundaries is not None:
            tl.debug_barrier()
    share = tl.cast(tl.program_id(1), tl.int64) * E
    at_GEJ = dA + (share + e_E)[None, :, None] * (G * J) + n_GJ[:, None, :]
    tl.store(at_GEJ, dA_GEJ, mask=(e_E < E)[None, :, None] & (n_GJ >= 0)[:, None, :])
    tl.store(dD + share + e_E, dD_E, mask=e_E < E)
    if SOFTPLUS:
        tl.store(dbias + share + e_E, dbias_E, mask=e_E < E)
