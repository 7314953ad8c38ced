"""Slow, independent oracles, written from the formulas and not from our code."""

import torch
import torch.nn.functional as F

from pks4_lightning.ops.scan.naive import selective_scan_naive

__all__ = [
    "clip_block_with_class_route",
    "local_correlation_loop",
    "patch_tokens_of_resized_weights",
    "selective_scan_closed_form",
    "temporal_variation_loop",
    "videomamba_loop",
]


def selective_scan_closed_form(u, delta, A, B, C, D=None):
    """Selective scan as one masked T x T kernel instead of a recurrence."""
    num_steps = u.shape[1]
    log_decay_STEN = (delta.unsqueeze(-1) * A).cumsum(dim=1)
    # masked before the exponential; masked afterwards, the gradient would be inf * 0
    future_TR = torch.ones(num_steps, num_steps, dtype=torch.bool).triu(diagonal=1)
    between_STREN = log_decay_STEN.unsqueeze(2) - log_decay_STEN.unsqueeze(1)
    kernel_STREN = between_STREN.masked_fill(future_TR[None, :, :, None, None], -torch.inf).exp()
    y = torch.einsum("stn,stren,sre,srn,sre->ste", C, kernel_STREN, delta, B, u)
    return y if D is None else y + D * u


def local_correlation_loop(x, context_frames, window_size):
    """PKS^4, Equation 15, one pair of patches at a time."""
    num_clips, num_frames, _, height, width = x.shape
    half, radius = context_frames // 2, window_size // 2
    scores = x.new_zeros(
        num_clips, num_frames, context_frames + 1, window_size, window_size, height, width
    )
    for b in range(num_clips):
        for t in range(num_frames):
            for tau in range(-half, half + 1):
                for row in range(height):
                    for column in range(width):
                        for u in range(-radius, radius + 1):
                            for v in range(-radius, radius + 1):
                                inside = (
                                    0 <= t + tau < num_frames
                                    and 0 <= row + u < height
                                    and 0 <= column + v < width
                                )
                                if inside:
                                    scores[
                                        b, t, tau + half, u + radius, v + radius, row, column
                                    ] = F.cosine_similarity(
                                        x[b, t, :, row, column],
                                        x[b, t + tau, :, row + u, column + v],
                                        dim=0,
                                    )
    return scores.flatten(3, 4)


def temporal_variation_loop(x, context_frames):
    """PKS^4, Equation 17, with zero for neighbours beyond the clip."""
    half = context_frames // 2
    differences = x.new_zeros(x.shape[0], x.shape[1], context_frames + 1, *x.shape[2:])
    for t in range(x.shape[1]):
        for tau in range(-half, half + 1):
            if 0 <= t + tau < x.shape[1]:
                differences[:, t, tau + half] = x[:, t + tau] - x[:, t]
    return differences


def clip_block_with_class_route(block, tokens, before_attention, before_mlp):
    """One CLIP block by PKS^4's Equations 10-11, with Equation 6 at both places of the class token.

    Args:
        block: A transformers CLIP encoder layer, used for its weights only.
        tokens: B T L D.
        before_attention: Taps over (previous, same, next) frame, D x 3.
        before_mlp: Same, before the MLP.
    """
    attention, mlp = block.self_attn, block.mlp
    width, num_heads = tokens.shape[-1], attention.num_heads

    def convolve(clip, taps):
        routed = torch.zeros_like(clip[:, :, 0])
        for t in range(clip.shape[1]):
            for tap, neighbour in enumerate((t - 1, t, t + 1)):
                if 0 <= neighbour < clip.shape[1]:
                    routed[:, t] = routed[:, t] + taps[:, tap] * clip[:, neighbour, 0]
        return torch.cat([routed.unsqueeze(2), clip[:, :, 1:]], dim=2)

    def norm(x, layer):
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt()
        return centred / scale * layer.weight + layer.bias

    def linear(x, layer):
        return x @ layer.weight.T + layer.bias

    def heads(x):
        return x.unflatten(-1, (num_heads, width // num_heads)).transpose(-2, -3)

    tokens = convolve(tokens, before_attention)
    normed = norm(tokens, block.layer_norm1)
    query, key, value = (
        heads(linear(normed, layer))
        for layer in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    weights = (query @ key.transpose(-1, -2) / (width // num_heads) ** 0.5).softmax(-1)
    mixed = (weights @ value).transpose(-2, -3).flatten(-2)
    tokens = convolve(tokens + linear(mixed, attention.out_proj), before_mlp)
    hidden = linear(norm(tokens, block.layer_norm2), mlp.fc1)
    # CLIP's activation: x * sigmoid(1.702 x)
    return tokens + linear(hidden * torch.sigmoid(1.702 * hidden), mlp.fc2)


def patch_tokens_of_resized_weights(frames, weights, patch_size):
    """FlexiViT, Equation 3, with the full 2-D resize matrix applied to the weights."""
    size = weights.shape[-1]
    pixels = torch.eye(size**2, dtype=weights.dtype).view(-1, 1, size, size)
    columns = F.interpolate(
        pixels, size=(patch_size, patch_size), mode="bicubic", antialias=True
    ).flatten(1)
    resize = columns.T  # maps a flat patch of the weights' size to one of the frames'
    resized = weights.flatten(2) @ torch.linalg.pinv(resize)
    return F.conv2d(frames, resized.unflatten(-1, (patch_size, patch_size)), stride=patch_size)


def videomamba_loop(weights, video):
    """The class token's vector of VideoMamba (Figure 3, Equations 1-4), token by token.

    Args:
        weights: The parameters of our network by name.
        video: B C T H W, at the size of the position embeddings.
    """
    kernel = weights["embedding.patches.weight"]
    positions, times = (
        weights["embedding.position_embedding"],
        weights["embedding.temporal_embedding"],
    )
    size = kernel.shape[-1]
    tokens = [(weights["embedding.class_embedding"] + positions[0]).expand(len(video), -1)]
    for t in range(video.shape[2]):
        for row in range(video.shape[3] // size):
            for column in range(video.shape[4] // size):
                rows, columns = (
                    slice(row * size, (row + 1) * size),
                    slice(column * size, (column + 1) * size),
                )
                patch = video[:, :, t, rows, columns].flatten(1)
                place = 1 + row * (video.shape[4] // size) + column
                embedded = patch @ kernel.flatten(1).T + weights["embedding.patches.bias"]
                tokens.append(embedded + positions[place] + times[t])
    x = torch.stack(tokens, dim=1)

    def norm(x, weight):
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    def one_direction(content, gate, name):
        taps, bias = weights[f"{name}.conv1d.weight"][:, 0], weights[f"{name}.conv1d.bias"]
        A = -weights[f"{name}.A_log"].exp()
        convolved = []
        for t in range(content.shape[1]):
            seen = [content[:, t - lag] * taps[:, 3 - lag] for lag in range(4) if t >= lag]
            convolved.append(F.silu(sum(seen) + bias))
        content = torch.stack(convolved, dim=1)
        projected = content @ weights[f"{name}.x_proj.weight"].T
        rank, d_state = weights[f"{name}.dt_proj.weight"].shape[1], A.shape[1]
        delta, B, C = projected.split([rank, d_state, d_state], dim=-1)
        return selective_scan_naive(
            content,
            delta @ weights[f"{name}.dt_proj.weight"].T,
            A,
            B,
            C,
            weights[f"{name}.D"],
            delta_bias=weights[f"{name}.dt_proj.bias"],
            gate=gate,
        )

    for i in range(sum(name.endswith("in_proj.weight") for name in weights)):
        mixer = f"layers.{i}.mixer"
        normed = norm(x, weights[f"layers.{i}.norm.weight"])
        content, gate = (normed @ weights[f"{mixer}.in_proj.weight"].T).chunk(2, dim=-1)
        ahead = one_direction(content, gate, f"{mixer}.ahead")
        back = one_direction(content.flip(1), gate.flip(1), f"{mixer}.back").flip(1)
        x = x + (ahead + back) @ weights[f"{mixer}.out_proj.weight"].T
    return norm(x[:, 0], weights["norm.weight"])
