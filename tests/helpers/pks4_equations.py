"""The equations of PKS^4's module in every reading: the oracle of `PKS4Module`.

Written from the paper's Equations 5 and 12-25 and the definitions of the controls, on named
weights. The only part of our own code is the naive scan, which is tested against another oracle.
"""

import math

import torch
import torch.nn.functional as F

from pks4_lightning.ops.scan.naive import selective_scan_naive

__all__ = ["pks4_by_equations"]

EPS = 1e-5  # of both norms


def pks4_by_equations(weights, patches, *, residual, offsets=(-1, 0, 1), ends="zero", window=3):
    """Return the patches after the module, with BatchNorm in training mode.

    Args:
        weights: The module's parameters by name. Parts whose parameters are absent are off.
        patches: B T D H W.
        residual: Tensor to which the scan is added.
        offsets: Frame offsets of both operators.
        ends: Variation of frames beyond the clip.
        window: Side of the correlation's window.
    """
    priors = patches
    for name in ("correlation", "variation"):
        own = part_of(weights, f"prior_encoder.{name}.")
        if own:
            reduced = frame_by_frame(conv_norm_relu, priors, part_of(own, "reduce."))
            if name == "variation":
                compared = variations(reduced, offsets, ends)
            else:
                compared = correlations(reduced, offsets, window)
                for layer in "01":
                    head = part_of(own, f"displacement.{layer}.")
                    compared = frame_by_frame(conv_norm_relu, compared, head)
            priors = priors + aggregate(compared, part_of(own, "aggregate."))

    scan = torch.zeros_like(patches)
    for name, reverse in (("scanner.", False), ("backward_scanner.", True)):
        own = part_of(weights, name)
        if own:
            seen = priors.flip(1) if reverse else priors
            scanned = along_time(seen, own)
            scan = scan + (scanned.flip(1) if reverse else scanned)
    kept = {"single": patches, "post_prior": priors, "literal": patches + priors}
    return kept[residual] + scan


def part_of(weights, prefix):
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def frame_by_frame(layer, x, weights):
    """Apply a 2-D layer to all leading axes at once, so that they share its batch statistics."""
    y = layer(x.flatten(0, -4), weights)
    return y.unflatten(0, x.shape[:-3])


def conv_norm_relu(x, weights):
    y = F.conv2d(x, weights["0.weight"], padding=1)
    centred = y - y.mean((0, 2, 3), keepdim=True)
    y = centred / (centred.square().mean((0, 2, 3), keepdim=True) + EPS).sqrt()
    y = y * weights["1.weight"].view(-1, 1, 1) + weights["1.bias"].view(-1, 1, 1)
    return y * (y > 0)


def neighbour(x, t, tau):
    """Return frame t + tau (zero beyond the clip) and whether it exists."""
    inside = 0 <= t + tau < x.shape[1]
    return (x[:, t + tau] if inside else torch.zeros_like(x[:, t])), inside


def correlations(x, offsets, window):
    """Equation 15: cosine similarity with the patches of a window, one displacement at a time."""
    unit = x / x.norm(dim=2, keepdim=True).clamp_min(1e-6)
    radius = window // 2
    frames = []
    for t in range(x.shape[1]):
        of_frame = []
        for tau in offsets:
            near, _ = neighbour(unit, t, tau)
            framed = F.pad(near, (radius,) * 4)
            height, width = x.shape[-2:]
            of_frame.append(
                torch.stack(
                    [
                        (unit[:, t] * framed[:, :, u : u + height, v : v + width]).sum(1)
                        for u in range(window)
                        for v in range(window)
                    ],
                    dim=1,
                )
            )
        frames.append(torch.stack(of_frame, dim=1))
    return torch.stack(frames, dim=1)


def variations(x, offsets, ends):
    """Equation 17; a frame beyond the clip gives no difference, or counts as zero."""
    frames = []
    for t in range(x.shape[1]):
        of_frame = []
        for tau in offsets:
            near, inside = neighbour(x, t, tau)
            of_frame.append(
                near - x[:, t] if inside or ends == "negative" else torch.zeros_like(near)
            )
        frames.append(torch.stack(of_frame, dim=1))
    return torch.stack(frames, dim=1)


def aggregate(x, weights):
    for layer in "01":
        x = frame_by_frame(conv_norm_relu, x, part_of(weights, f"refine.{layer}."))
    joined = frame_by_frame(conv_norm_relu, x.flatten(2, 3), part_of(weights, "join.0."))
    up = torch.einsum("dm,btmhw->btdhw", weights["join.1.weight"][:, :, 0, 0], joined)
    return up + weights["join.1.bias"].view(-1, 1, 1)


def along_time(grid, weights):
    """Apply the scanner or its control to every patch location separately."""
    x = grid.permute(0, 3, 4, 1, 2).flatten(0, 2)  # S T D
    centred = x - x.mean(-1, keepdim=True)
    normed = centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt()
    normed = normed * weights["norm.weight"] + weights["norm.bias"]
    if "A_log" in weights:
        y = mamba(normed, weights)
    elif "hidden_proj.weight" in weights:
        y = gru(normed, weights)
    else:
        y = attention(normed, weights)
    y = y @ weights["out_proj.weight"].T
    batch, _, _, height, width = grid.shape
    return y.unflatten(0, (batch, height, width)).permute(0, 3, 4, 1, 2)


def mamba(x, weights):
    """Equations 19-25."""
    content, gate = (x @ weights["in_proj.weight"].T).chunk(2, dim=-1)
    taps, bias = weights["conv1d.weight"][:, 0], weights["conv1d.bias"]
    last = taps.shape[1] - 1
    convolved = [
        sum(taps[:, last - lag] * content[:, t - lag] for lag in range(min(t, last) + 1)) + bias
        for t in range(x.shape[1])
    ]
    content = F.silu(torch.stack(convolved, dim=1))
    rank, d_state = weights["dt_proj.weight"].shape[1], weights["A_log"].shape[1]
    projected = content @ weights["x_proj.weight"].T
    delta, B, C = projected.split([rank, d_state, d_state], dim=-1)
    delta = F.softplus(delta @ weights["dt_proj.weight"].T + weights["dt_proj.bias"])
    A = -weights["A_log"].exp()
    return selective_scan_naive(content, delta, A, B, C, weights["D"], gate=gate)


def gru(x, weights):
    """PyTorch's own GRU."""
    width = weights["out_proj.weight"].shape[1]
    own = {
        "weight_ih_l0": weights["input_proj.weight"],
        "weight_hh_l0": weights["hidden_proj.weight"],
        "bias_ih_l0": weights["input_proj.bias"],
        "bias_hh_l0": weights["hidden_proj.bias"],
    }
    module = torch.nn.GRU(x.shape[-1], width, batch_first=True, dtype=x.dtype)
    return torch.func.functional_call(module, own, (x,))[0]


def attention(x, weights):
    """Single-head attention: "Attention Is All You Need", Equation 1 and Section 3.5."""
    width = x.shape[-1]
    sines = (width + 1) // 2
    positions = torch.zeros_like(x[0])
    for t in range(x.shape[1]):
        for i in range(sines):
            angle = t / 10_000 ** (i / sines)
            positions[t, i] = math.sin(angle)
            if sines + i < width:
                positions[t, sines + i] = math.cos(angle)
    query, key, value = ((x + positions) @ weights["qkv_proj.weight"].T).chunk(3, dim=-1)
    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
    shares = scores.exp() / scores.exp().sum(-1, keepdim=True)
    return shares @ value
