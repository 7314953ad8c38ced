"""Class-token routes: how frames exchange information outside PKS^4.

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

from pks4_lightning.models.insertion import Hooked, HookPoints
from pks4_lightning.ops.temporal_shift import shift_frames

__all__ = ["ClassTokenRoute", "PatchTokenShift", "TokenShift", "TokenT1D"]


def _shift_channels(x: Float[Tensor, "B T *L D"], share: int) -> Float[Tensor, "B T *L D"]:
    """Let one ``share``-th of the channels take the next frame, the following one the previous."""
    width = x.shape[-1] // share
    ahead, back, rest = x.split([width, width, x.shape[-1] - 2 * width], dim=-1)
    return torch.cat([shift_frames(ahead, 1), shift_frames(back, -1), rest], dim=-1)


class TokenT1D(nn.Module):
    """Depthwise convolution over time with three taps and no bias (Equation 6).

    It starts as a shift: the first quarter of the channels takes the next frame, the second quarter
    the previous one, the rest stays. Written as products and sums, which autocast leaves alone:
    the class token's residual stream passes through it twice in every block.

    Args:
        d_model: Width of the token.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_model, 1, 3))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the taps (previous, same, next frame) to the shift."""
        quarter = self.weight.shape[0] // 4
        self.weight.zero_()
        self.weight[:quarter, 0, 2] = 1.0
        self.weight[quarter : 2 * quarter, 0, 0] = 1.0
        self.weight[2 * quarter :, 0, 1] = 1.0

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Mix every channel with itself in the frames before and after; zeros beyond the clip."""
        previous, same, following = self.weight.squeeze(1).unbind(-1)
        return previous * shift_frames(x, -1) + same * x + following * shift_frames(x, 1)


class TokenShift(nn.Module):
    """The shift that :class:`TokenT1D` starts as, without parameters."""

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Shift a quarter of the channels from the next frame and a quarter from the previous."""
        return _shift_channels(x, 4)


class ClassTokenRoute(Hooked):
    """The route through one backbone block: before attention and before the MLP.

    Two convolutions per block are what the paper's parameter counts need (86.34 M for the
    baseline). Hooks cannot touch the residual stream inside a block; replacing the attention's
    class-token output ``a`` by ``f(r + a) - r`` has the same effect on ``r + a``.

    Args:
        d_model: Width of the token.
        kind: ``token_t1d`` learns the exchange, ``token_shift`` fixes it.
    """

    def __init__(self, d_model: int, *, kind: Literal["token_t1d", "token_shift"]) -> None:
        super().__init__()
        if kind == "token_t1d":
            self.before_attention: nn.Module = TokenT1D(d_model)
            self.before_mlp: nn.Module = TokenT1D(d_model)
        else:
            self.before_attention, self.before_mlp = TokenShift(), TokenShift()
        self._residual: Tensor | None = None

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hooks on a block."""
        yield points.block.register_forward_pre_hook(self._enter_block)
        # inside what gradient checkpointing recomputes, so the residual is there again
        yield points.attention_norm.register_forward_pre_hook(self._keep_residual)
        yield points.attention.register_forward_hook(self._leave_attention)

    def _enter_block(self, _block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *others = args
        routed = self._route(self.before_attention, tokens[:, 0])
        return (_with_class_token(tokens, routed), *others)

    def _keep_residual(self, _norm: nn.Module, args: tuple[Any, ...]) -> None:
        self._residual = args[0][:, 0]

    def _leave_attention(self, _attention: nn.Module, _args: Any, output: Any) -> Any:
        assert self._residual is not None
        residual, self._residual = self._residual, None
        tokens, *others = output
        routed = self._route(self.before_mlp, residual + tokens[:, 0])
        return (_with_class_token(tokens, routed - residual), *others)

    def _route(self, module: nn.Module, class_token: Tensor) -> Tensor:
        return module(class_token.unflatten(0, (-1, self.layout.num_frames))).flatten(0, 1)


class PatchTokenShift(Hooked):
    """TSM inside one backbone block: an eighth of the patch channels each way, attention only.

    The shift acts on what attention reads, not on the residual stream: the residual form of TSM,
    which keeps each frame's own content (TSM, Section 3.2). The class token stays.
    """

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hook on a block."""
        yield points.attention_norm.register_forward_hook(self._before_attention)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Shift an eighth of the channels from the next frame and an eighth from the previous."""
        return _shift_channels(x, 8)

    def _before_attention(self, _norm: nn.Module, _args: Any, output: Tensor) -> Tensor:
        clips = output.unflatten(0, (-1, self.layout.num_frames))
        shifted = self(clips[:, :, 1:])
        return torch.cat([clips[:, :, :1], shifted], dim=2).flatten(0, 1)


def _with_class_token(tokens: Float[Tensor, "I L D"], class_token: Float[Tensor, "I D"]) -> Tensor:
    return torch.cat([class_token.unsqueeze(1), tokens[:, 1:]], dim=1)
