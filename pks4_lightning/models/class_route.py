"""Class-token routes: exchange of information between frames outside PKS^4.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Equation 6 and Table 9.
    TokenT1D: Wu et al., "Revisiting Classifier: Transferring Vision-Language Models for Video
    Recognition", AAAI 2023, https://arxiv.org/abs/2207.01297.
    TokenShift: Zhang et al., "Token Shift Transformer for Video Classification", ACM MM 2021,
    https://arxiv.org/abs/2108.02432.
    TSM: Lin et al., "TSM: Temporal Shift Module for Efficient Video Understanding", ICCV 2019,
    https://arxiv.org/abs/1811.08383.

Dimensions:
    B: clips
    T: frames
    L: tokens per frame, the class token first
    D: backbone width
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pks4_lightning.insertion import Hooked, HookPoints
from pks4_lightning.ops.temporal_shift import shift_frames

__all__ = ["ClassTokenRoute", "PatchTokenShift", "PooledRoute", "TokenShift", "TokenT1D"]

# offsets of the first and the second quarter of the channels, for a clip and for a causal one
_SHIFT = {False: (1, -1), True: (-1, -2)}


def _shift_channels(
    x: Float[Tensor, "B T *L D"], share: int, offsets: tuple[int, int]
) -> Float[Tensor, "B T *L D"]:
    """Take one ``share``-th of the channels from one frame, and the next from another."""
    width = x.shape[-1] // share
    first, second, rest = x.split([width, width, x.shape[-1] - 2 * width], dim=-1)
    shifted = [shift_frames(part, by) for part, by in zip((first, second), offsets, strict=True)]
    return torch.cat([*shifted, rest], dim=-1)


def _step(module: nn.Module, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a causal module to the next frames of streams, given the past frames it needs."""
    frames = torch.cat([past, x], dim=1)
    num_past = past.shape[1]
    # a slice would keep all frames in memory
    return module(frames)[:, num_past:], frames[:, frames.shape[1] - num_past :].clone()


class TokenT1D(nn.Module):
    """Depthwise convolution over time with three taps and no bias (Equation 6).

    It is initialised as a shift: the first quarter of the channels takes the next frame, the second
    quarter the previous one, the rest is unchanged; if causal, the first takes the previous frame
    and the second the one before that. Written as products and sums, which autocast does not
    affect, because the class token's residual stream passes through it twice in every block.

    Args:
        d_model: Width of the token.
        causal: Taps for two frames back, one back and the same, instead of previous, same and next.
    """

    def __init__(self, d_model: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.offsets = (-2, -1, 0) if causal else (-1, 0, 1)
        self.weight = nn.Parameter(torch.empty(d_model, 1, 3))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the taps as a shift."""
        quarter = self.weight.shape[0] // 4
        first, second = _SHIFT[self.causal]
        self.weight.zero_()
        self.weight[:quarter, 0, self.offsets.index(first)] = 1.0
        self.weight[quarter : 2 * quarter, 0, self.offsets.index(second)] = 1.0
        self.weight[2 * quarter :, 0, self.offsets.index(0)] = 1.0

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Mix each channel with its values in neighbouring frames; zeros beyond the clip."""
        first, second, third = (
            tap * (shift_frames(x, offset) if offset else x)
            for tap, offset in zip(self.weight.squeeze(1).unbind(-1), self.offsets, strict=True)
        )
        return first + second + third


class TokenShift(nn.Module):
    """The shift as which :class:`TokenT1D` is initialised, without parameters.

    Args:
        causal: Use earlier frames only.
    """

    def __init__(self, *, causal: bool = False) -> None:
        super().__init__()
        self.offsets = _SHIFT[causal]

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Shift a quarter of the channels from one frame and a quarter from another."""
        return _shift_channels(x, 4, self.offsets)


class ClassTokenRoute(Hooked):
    """The route through one backbone block: before attention and before the MLP.

    The paper's parameter counts imply two convolutions per block (86.34 M for the baseline). Hooks
    cannot modify the residual stream inside a block; replacing the attention's update of the class
    token, ``a``, by ``f(r + a) - r`` has the same effect on ``r + a``.

    Args:
        d_model: Width of the token.
        kind: ``token_t1d`` learns the exchange, ``token_shift`` is fixed.
        causal: Use earlier frames only, the same number of them.
    """

    def __init__(
        self, d_model: int, *, kind: Literal["token_t1d", "token_shift"], causal: bool = False
    ) -> None:
        super().__init__()
        self.causal = causal
        self.before_attention: nn.Module
        self.before_mlp: nn.Module
        if kind == "token_t1d":
            self.before_attention = TokenT1D(d_model, causal=causal)
            self.before_mlp = TokenT1D(d_model, causal=causal)
        else:
            self.before_attention, self.before_mlp = (TokenShift(causal=causal) for _ in range(2))
        self._residual: Tensor | None = None

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> tuple[Tensor, Tensor]:
        """Return two frames of class tokens for each of the two places."""
        zeros = like.new_zeros(like.shape[0], 2, like.shape[1])
        return zeros, zeros.clone()

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hooks on a block."""
        yield points.block.register_forward_pre_hook(self._enter_block)
        # inside the part recomputed by gradient checkpointing, so the residual is available again
        yield points.attention_norm.register_forward_pre_hook(self._keep_residual)
        yield points.attention_add.register_forward_hook(self._leave_attention)

    def _enter_block(self, _block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *others = args
        routed = self._route(self.before_attention, tokens[:, 0], place=0)
        return (_with_class_token(tokens, routed), *others)

    def _keep_residual(self, _norm: nn.Module, args: tuple[Any, ...]) -> None:
        self._residual = args[0][:, 0]

    def _leave_attention(self, _add: nn.Module, _args: Any, output: Any) -> Any:
        if self._residual is None:  # the second call in a block, after the MLP
            return None
        residual, self._residual = self._residual, None
        tokens, *others = output if isinstance(output, tuple) else (output,)
        routed = self._route(self.before_mlp, residual + tokens[:, 0], place=1)
        tokens = _with_class_token(tokens, routed - residual)
        return (tokens, *others) if isinstance(output, tuple) else tokens

    def _route(self, module: nn.Module, class_token: Tensor, *, place: int) -> Tensor:
        frames = class_token.unflatten(0, (-1, self.layout.num_frames))
        stream = self.layout.stream
        if stream is None:
            return module(frames).flatten(0, 1)
        pasts = list(stream.states[self])
        # the token of a missing frame is zero, as beyond the ends of a clip
        if stream.exists is not None:
            frames = frames * stream.exists.unsqueeze(-1)
        routed, pasts[place] = _step(module, frames, pasts[place])
        stream.states[self] = tuple(pasts)
        return routed.flatten(0, 1)


class PatchTokenShift(Hooked):
    """TSM inside one backbone block: an eighth of the patch channels in each direction.

    Class token and registers are not shifted.

    Args:
        shifts: ``attention``: the input of the attention, not the residual stream. This residual
            form of TSM keeps each frame's own content (TSM, Section 3.2). ``block``: the input of
            the block, including the residual stream, which is the in-place form.
        causal: Shift only one eighth, from the previous frame, as TSM does on streams (TSM,
            Section 4.2).
    """

    def __init__(
        self, *, shifts: Literal["attention", "block"] = "attention", causal: bool = False
    ) -> None:
        super().__init__()
        self.shifts = shifts
        self.causal = causal
        self.offsets = (-1, 0) if causal else (1, -1)

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> Tensor:
        """Return one frame of patch tokens."""
        return torch.zeros_like(like).flatten(2).transpose(1, 2).unsqueeze(1)

    def num_patches(self, state: Float[Tensor, "B 1 P D"]) -> int:
        """Return the number of patches per frame that a stream's state is for."""
        return state.shape[2]

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hook on a block."""
        if self.shifts == "block":
            yield points.block.register_forward_pre_hook(self._enter_block)
        else:
            yield points.attention_norm.register_forward_hook(self._before_attention)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Shift an eighth of the channels from one frame and an eighth from another."""
        return _shift_channels(x, 8, self.offsets)

    def _enter_block(self, _block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *others = args
        return (self._shifted(tokens), *others)

    def _before_attention(self, _norm: nn.Module, _args: Any, output: Tensor) -> Tensor:
        return self._shifted(output)

    def _shifted(self, tokens: Float[Tensor, "I L D"]) -> Float[Tensor, "I L D"]:
        clips = tokens.unflatten(0, (-1, self.layout.num_frames))
        num_prefix = self.layout.num_prefix_tokens
        prefix, patches = clips[:, :, :num_prefix], clips[:, :, num_prefix:]
        stream = self.layout.stream
        if stream is None:
            shifted = self(patches)
        else:
            if stream.exists is not None:
                patches = patches * stream.exists[..., None, None]
            shifted, stream.states[self] = _step(self, patches, stream.states[self])
        return torch.cat([prefix, shifted], dim=2).flatten(0, 1)


class PooledRoute(Hooked):
    """A convolution over the vectors of the frames, after the backbone.

    It serves backbones without a class token. It is linear and followed by a mean over the frames,
    so it distinguishes their order only by the ends of the clip: a cheap route with little effect,
    in addition to PKS^4.

    Args:
        d_frame: Width of a frame's vector.
        causal: Use earlier frames only.
    """

    def __init__(self, d_frame: int, *, causal: bool = False) -> None:
        super().__init__()
        self.causal = causal
        self.mix = TokenT1D(d_frame, causal=causal)

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:  # noqa: ARG002 - same for all
        """Register no hook: the caller of the backbone applies this module to its output."""
        yield from ()

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> Tensor:
        """Return two frames' vectors."""
        return like.new_zeros(like.shape[0], 2, len(self.mix.weight))

    def forward(self, vectors: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Mix each channel with its values in other frames."""
        stream = self.layout.stream
        if stream is None:
            return self.mix(vectors)
        if stream.exists is not None:
            vectors = vectors * stream.exists.unsqueeze(-1)
        mixed, stream.states[self] = _step(self.mix, vectors, stream.states[self])
        return mixed


def _with_class_token(tokens: Float[Tensor, "I L D"], class_token: Float[Tensor, "I D"]) -> Tensor:
    return torch.cat([class_token.unsqueeze(1), tokens[:, 1:]], dim=1)
