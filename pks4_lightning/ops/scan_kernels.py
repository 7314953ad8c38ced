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
    channels, states: index along the last axis of a stream, size of that axis
"""

# ruff: noqa: ANN001, ANN201, ANN202 - the compiler gives kernels' arguments their types
# ruff: noqa: E501 - calls with the context of a program stay on one line
# mypy: ignore-errors

import triton
import triton.language as tl

__all__ = ["scan_backward_kernel", "scan_forward_kernel"]

_LOG2_E = tl.constexpr(1.4426950408889634)
_LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _softplus(x, TERMS: tl.constexpr):
    # log(1 + z) = 2 artanh(z / (2 + z)) as a series: small steps keep all their digits
    z = tl.exp(-tl.abs(x))
    s = z / (2.0 + z)
    series = tl.zeros_like(s) + 1.0 / (2 * TERMS + 1)
    for k in tl.static_range(TERMS):
        series = series * s * s + 1.0 / (2 * (TERMS - k) - 1)
    return tl.maximum(x, 0.0) + 2.0 * s * series


@triton.jit
def _at(stream, place, i):
    s, num_patches, start, _ = place
    clip, patch = tl.cast(s // num_patches, tl.int64), tl.cast(s % num_patches, tl.int64)
    return (
        stream[0] + clip * stream[1] + patch * stream[2] + tl.cast(start + i, tl.int64) * stream[3]
    )


@triton.jit
def _load(stream, place, axis, CHUNK: tl.constexpr, ACC: tl.constexpr):
    """Values of a chunk's steps, zero beyond the last step and the last channel."""
    values = ()
    for i in tl.static_range(CHUNK):
        size = tl.where(place[2] + i < place[3], axis[1], 0)
        value = tl.load(_at(stream, place, i) + axis[0], mask=axis[0] < size, other=0.0)
        values = values + (value.to(ACC),)
    return values


@triton.jit
def _store(stream, place, axis, values, CHUNK: tl.constexpr):
    for i in tl.static_range(CHUNK):
        size = tl.where(place[2] + i < place[3], axis[1], 0)
        value = values[i].to(stream[0].dtype.element_ty)
        tl.store(_at(stream, place, i) + axis[0], value, mask=axis[0] < size)


@triton.jit
def _load_steps(delta, bias_E, place, channels, CHUNK: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Step sizes of a chunk, and their slopes with respect to ``delta``."""
    raws = _load(delta, place, channels, CHUNK, ACC)
    if bias_E is None:
        return raws, raws
    steps, slopes = (), ()
    for i in tl.static_range(CHUNK):
        steps = steps + (_softplus(raws[i] + bias_E, TERMS),)
        slopes = slopes + (_sigmoid(raws[i] + bias_E),)
    return steps, slopes


@triton.jit
def _advance(x_GEJ, delta_E, u_E, A_GEJ, B_GJ):
    decay_GEJ = tl.exp2(delta_E[None, :, None] * A_GEJ)
    return decay_GEJ * x_GEJ + (delta_E * u_E)[None, :, None] * B_GJ[:, None, :]


@triton.jit
def _over_states(x_GEJ):
    return tl.sum(tl.sum(x_GEJ, axis=0), axis=1)


@triton.jit
def _read_out(x_GEJ, C_GJ, D_E, u_E):
    return _over_states(C_GJ[:, None, :] * x_GEJ) + D_E * u_E


@triton.jit
def _axes(E, N, BLOCK_E: tl.constexpr, G: tl.constexpr, J: tl.constexpr):
    """Channels and states of this program, and where its part of an E N matrix lies."""
    e_E = tl.program_id(0) * BLOCK_E + tl.arange(0, BLOCK_E)
    n_GJ = tl.arange(0, G)[:, None] * J + tl.arange(0, J)[None, :]
    at_GEJ = e_E[None, :, None] * N + n_GJ[:, None, :]
    in_GEJ = (e_E < E)[None, :, None] & (n_GJ < N)[:, None, :]
    return (e_E, E), (n_GJ, N), at_GEJ, in_GEJ


@triton.jit
def _weights(A, D, bias, channels, at_GEJ, in_GEJ, ACC: tl.constexpr):
    """A in units of log 2, D and the bias."""
    e_E, E = channels
    A_GEJ = tl.load(A + at_GEJ, mask=in_GEJ, other=0.0).to(ACC) * _LOG2_E
    D_E = tl.load(D + e_E, mask=e_E < E, other=0.0).to(ACC)
    bias_E = None
    if bias is not None:
        bias_E = tl.load(bias + e_E, mask=e_E < E, other=0.0).to(ACC)
    return A_GEJ, D_E, bias_E


@triton.jit(do_not_specialize=["num_sequences", "num_patches", "num_steps", "E", "N"])
def scan_forward_kernel(
    u, delta, A, B, C, D, bias, gate, y, num_sequences, num_patches, num_steps, E, N,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, G: tl.constexpr, J: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write ``y``; ``bias`` and ``gate`` may be None."""
    channels, states, at_GEJ, in_GEJ = _axes(E, N, BLOCK_E, G, J)
    A_GEJ, D_E, bias_E = _weights(A, D, bias, channels, at_GEJ, in_GEJ, ACC)
    for s in range(tl.program_id(1), num_sequences, tl.num_programs(1)):
        x_GEJ = tl.zeros_like(A_GEJ)
        for start in range(0, num_steps, CHUNK):
            # all loads stand before all stores, which no later load may overtake
            place = (s, num_patches, start, num_steps)
            us = _load(u, place, channels, CHUNK, ACC)
            deltas, _ = _load_steps(delta, bias_E, place, channels, CHUNK, TERMS, ACC)
            Bs, Cs = _load(B, place, states, CHUNK, ACC), _load(C, place, states, CHUNK, ACC)
            ys = ()
            for i in tl.static_range(CHUNK):
                x_GEJ = _advance(x_GEJ, deltas[i], us[i], A_GEJ, Bs[i])
                ys = ys + (_read_out(x_GEJ, Cs[i], D_E, us[i]),)
            if gate is not None:
                gates = _load(gate, place, channels, CHUNK, ACC)
                gated = ()
                for i in tl.static_range(CHUNK):
                    gated = gated + (ys[i] * gates[i] * _sigmoid(gates[i]),)
                ys = gated
            _store(y, place, channels, ys, CHUNK)


@triton.jit
def _recompute(u, delta, B, weights, x_GEJ, place, channels, states, CHUNK: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Inputs of a chunk, and the state before it followed by the state after each step."""
    A_GEJ, _, bias_E = weights
    us = _load(u, place, channels, CHUNK, ACC)
    deltas, slopes = _load_steps(delta, bias_E, place, channels, CHUNK, TERMS, ACC)
    Bs = _load(B, place, states, CHUNK, ACC)
    xs = (x_GEJ,)
    for i in tl.static_range(CHUNK):
        xs = xs + (_advance(xs[i], deltas[i], us[i], A_GEJ, Bs[i]),)
    return us, deltas, slopes, Bs, xs


@triton.jit
def _through_gate(gate, dgate, dys, xs, Cs, D_E, us, place, channels, CHUNK: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Store the gate's gradient and return that of what it multiplies."""
    gates = _load(gate, place, channels, CHUNK, ACC)
    dgates, inner = (), ()
    for i in tl.static_range(CHUNK):
        y_E = _read_out(xs[i + 1], Cs[i], D_E, us[i])
        open_E = _sigmoid(gates[i])
        dgates = dgates + (dys[i] * y_E * open_E * (1.0 + gates[i] * (1.0 - open_E)),)
        inner = inner + (dys[i] * gates[i] * open_E,)
    _store(dgate, place, channels, dgates, CHUNK)
    return inner


@triton.jit
def _chunk_gradients(
    inputs, outputs, weights, carry, x_GEJ, place, channels, states,
    CHUNK: tl.constexpr, TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Store the gradients of a chunk's streams, and add to those carried from chunk to chunk.

    With g the gradient of a state, q = decay g is what the state before it receives, and
    q x_before the gradient of the log decay.
    """
    dy, u, delta, B, C, gate = inputs
    du, ddelta, dB, dC, dgate = outputs
    A_GEJ, D_E, bias_E = weights
    q_GEJ, dA_GEJ, dD_E, dbias_E = carry
    us, deltas, slopes, Bs, xs = _recompute(u, delta, B, weights, x_GEJ, place, channels, states, CHUNK, TERMS, ACC)  # fmt: skip
    Cs, dys = _load(C, place, states, CHUNK, ACC), _load(dy, place, channels, CHUNK, ACC)
    if gate is not None:
        dys = _through_gate(gate, dgate, dys, xs, Cs, D_E, us, place, channels, CHUNK, ACC)
    dus, ddeltas, dBs, dCs = (), (), (), ()
    for k in tl.static_range(CHUNK):
        i: tl.constexpr = CHUNK - 1 - k
        dy_E, u_E, delta_E = dys[i], us[i], deltas[i]
        dCs = (tl.sum(dy_E[None, :, None] * xs[i + 1], axis=1),) + dCs
        g_GEJ = Cs[i][:, None, :] * dy_E[None, :, None] + q_GEJ
        dBs = (tl.sum(g_GEJ * (delta_E * u_E)[None, :, None], axis=1),) + dBs
        dwrite_E = _over_states(g_GEJ * Bs[i][:, None, :])
        q_GEJ = g_GEJ * tl.exp2(delta_E[None, :, None] * A_GEJ)
        dlog_GEJ = q_GEJ * xs[i]
        dA_GEJ += dlog_GEJ * delta_E[None, :, None]
        ddelta_E = dwrite_E * u_E + _over_states(dlog_GEJ * A_GEJ) * _LN_2
        if bias_E is not None:
            ddelta_E = ddelta_E * slopes[i]
            dbias_E += ddelta_E
        dD_E += dy_E * u_E
        dus = (D_E * dy_E + dwrite_E * delta_E,) + dus
        ddeltas = (ddelta_E,) + ddeltas
    _store(du, place, channels, dus, CHUNK)
    _store(ddelta, place, channels, ddeltas, CHUNK)
    _store(dB, place, states, dBs, CHUNK)
    _store(dC, place, states, dCs, CHUNK)
    return q_GEJ, dA_GEJ, dD_E, dbias_E


@triton.jit(do_not_specialize=["first", "last", "num_patches", "num_steps", "E", "N"])
def scan_backward_kernel(
    dy, u, delta, A, B, C, D, bias, gate, du, ddelta, dgate, dA, dB, dC, dD, dbias, boundaries,
    first, last, num_patches, num_steps, E, N,
    CHUNK: tl.constexpr, BLOCK_E: tl.constexpr, G: tl.constexpr, J: tl.constexpr,
    TERMS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write the streams' gradients and parts of the others, for sequences ``first`` to ``last``.

    dB and dC hold one part per block of channels, dA, dD and dbias one per program on the second
    axis. ``boundaries`` holds a program's states between chunks; None if one chunk is enough.
    """
    channels, states, at_GEJ, in_GEJ = _axes(E, N, BLOCK_E, G, J)
    weights = _weights(A, D, bias, channels, at_GEJ, in_GEJ, ACC)
    row = tl.cast(num_steps, tl.int64) * N
    part = (tl.cast(tl.program_id(0), tl.int64) * (last - first) - first) * row
    inputs = (dy, u, delta, B, C, gate)
    outputs = (du, ddelta, (dB + part, row * num_patches, row, N), (dC + part, row * num_patches, row, N), dgate)  # fmt: skip
    num_chunks = tl.cdiv(num_steps, CHUNK)
    if boundaries is not None:
        program = tl.cast(tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.int64)
        ge_GE = tl.arange(0, G)[:, None] * BLOCK_E + tl.arange(0, BLOCK_E)[None, :]
        in_block_GEJ = ge_GE[:, :, None] * J + tl.arange(0, J)[None, None, :]
        mine_GEJ = boundaries + program * num_chunks * (G * BLOCK_E * J) + in_block_GEJ

    zero_GEJ, zero_E = tl.zeros_like(weights[0]), tl.zeros_like(weights[1])
    dA_GEJ, dD_E, dbias_E = zero_GEJ, zero_E, zero_E
    for s in range(first + tl.program_id(1), last, tl.num_programs(1)):
        if boundaries is not None:
            x_GEJ = zero_GEJ
            tl.store(mine_GEJ, x_GEJ)
            for chunk in range(1, num_chunks):
                place = (s, num_patches, (chunk - 1) * CHUNK, num_steps)
                _, _, _, _, xs = _recompute(u, delta, B, weights, x_GEJ, place, channels, states, CHUNK, TERMS, ACC)  # fmt: skip
                x_GEJ = xs[CHUNK]
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
                place, channels, states, CHUNK, TERMS, ACC,
            )  # fmt: skip
        if boundaries is not None:
            tl.debug_barrier()
    share = tl.cast(tl.program_id(1), tl.int64) * E
    e_E = channels[0]
    tl.store(dA + share * N + at_GEJ, dA_GEJ, mask=in_GEJ)
    tl.store(dD + share + e_E, dD_E, mask=e_E < E)
    if bias is not None:
        tl.store(dbias + share + e_E, dbias_E, mask=e_E < E)
