"""What every causal convolution operator tells torch: its shapes, its gradients, and its cost."""

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
        conv: Takes x, weight and bias; returns a stream that lies in memory in the order of x.
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
    """Return the taps, the present frame first: K E."""
    return weight.squeeze(1).t().flip(0).to(dtype).contiguous()


def _count_forward(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Two for each tap on a frame of the clip; those before its start cost nothing."""
    num_steps = x[-2]
    num_taps = sum(max(num_steps - lag, 0) for lag in range(weight[-1]))
    return 2 * math.prod(x) // num_steps * num_taps


def _count_backward(_dy: Any, *inputs: Any, **_: Any) -> int:
    """Twice the forward pass for the gradients, and once to recompute what SiLU was given."""
    return 3 * _count_forward(*inputs)
