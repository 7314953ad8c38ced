"""Registers shapes, gradients and costs of the causal convolution operators with torch."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef
from torch.utils.flop_counter import register_flop_formula

__all__ = ["register_conv", "taps_by_lag"]


def register_conv(conv: CustomOpDef, conv_backward: CustomOpDef) -> None:
    """Register the shapes, the gradients and the cost of a convolution operator.

    Args:
        conv: Takes x, weight and bias; returns a stream in the memory order of x.
        conv_backward: Takes the gradient of the output and the same inputs; returns one gradient
            per input.
    """

    def keep_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001 torch passes it by name
        ctx.save_for_backward(*inputs)

    def differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        return conv_backward(dy, *ctx.saved_tensors)

    conv.register_fake(lambda x, *_: torch.empty_like(x))
    conv_backward.register_fake(
        lambda _dy, x, weight, bias: (
            torch.empty_like(x),
            weight.new_empty(weight.shape),
            bias.new_empty(bias.shape),
        )
    )
    conv.register_autograd(differentiate, setup_context=keep_inputs)
    register_flop_formula(conv._opoverload.overloadpacket)(_count_forward)
    register_flop_formula(conv_backward._opoverload.overloadpacket)(_count_backward)


def taps_by_lag(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the taps with the current frame first: K E."""
    return weight.squeeze(1).t().flip(0).to(dtype).contiguous()


def _count_forward(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Count two operations per tap on a frame of the clip; taps before its start are skipped."""
    num_steps = x[-2]
    num_taps = sum(max(num_steps - lag, 0) for lag in range(weight[-1]))
    return 2 * math.prod(x) // num_steps * num_taps


def _count_backward(_dy: Any, *inputs: Any, **_: Any) -> int:
    """Count twice the forward pass for the gradients, plus once to recompute SiLU's input."""
    return 3 * _count_forward(*inputs)
