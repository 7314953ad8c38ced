"""Registers shapes, gradients and costs of the selective scan operators with torch.

They are operators rather than functions, so that torch.compile and torch.export treat a scan as
one call and the FLOP counter sees it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef
from torch.utils.flop_counter import register_flop_formula

__all__ = ["empty_gradients", "register_scan"]

# per state and step, as in the state space literature and the paper's Table 1
_FLOPS = 9


def register_scan(scan: CustomOpDef, scan_backward: CustomOpDef) -> None:
    """Register the shapes, the gradients and the cost of a scan operator.

    Args:
        scan: Takes u, delta, A, B, C, D and two optional inputs, the step size's bias and the
            gate; returns a stream in the memory order of u.
        scan_backward: Takes the gradient of the output and the same inputs; returns one gradient
            per input, with undefined content for an input that is None.
    """

    def keep_inputs(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:  # noqa: ARG001 torch passes it by name
        ctx.save_for_backward(*inputs)

    def differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        gradients = scan_backward(dy, *inputs)
        return tuple(
            None if x is None else gradient for x, gradient in zip(inputs, gradients, strict=True)
        )

    scan.register_fake(lambda u, *_: torch.empty_like(u))
    scan_backward.register_fake(lambda _dy, *inputs: empty_gradients(*inputs))
    scan.register_autograd(differentiate, setup_context=keep_inputs)
    scan_backward.register_autograd(_refuse)
    register_flop_formula(scan._opoverload.overloadpacket)(_count_forward)
    register_flop_formula(scan_backward._opoverload.overloadpacket)(_count_backward)


def empty_gradients(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Allocate the gradients of a scan's inputs.

    Gradients of channel streams have the memory order of their inputs, the others are contiguous;
    the gradient of a missing input is an empty tensor.
    """
    dA, dB, dC, dD = (x.new_empty(x.shape) for x in (A, B, C, D))
    dbias = u.new_empty(0) if delta_bias is None else delta_bias.new_empty(delta_bias.shape)
    dgate = u.new_empty(0) if gate is None else torch.empty_like(gate)
    return torch.empty_like(u), torch.empty_like(delta), dA, dB, dC, dD, dbias, dgate


def _refuse(*_: Any) -> None:
    raise NotImplementedError(
        "selective_scan has no second derivative: differentiate its gradients numerically."
    )


def _count_forward(u: Sequence[int], _delta: Any, A: Sequence[int], *_: Any, **__: Any) -> int:
    return _FLOPS * math.prod(u) * A[1]


def _count_backward(_dy: Any, *inputs: Any, **_: Any) -> int:
    """Count twice the forward pass for the gradients, plus once to recompute the states."""
    return 3 * _count_forward(*inputs)
