"""Causal depthwise convolution along time, in the tokens' own layout.

Reference:
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
    https://arxiv.org/abs/2312.00752, Figure 3.

Dimensions:
    S: sequences
    T: time steps, one per frame
    E: channels
    K: taps
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["causal_conv"]


def causal_conv(
    x: Float[Tensor, "S T E"], weight: Float[Tensor, "E 1 K"], bias: Float[Tensor, " E"]
) -> Float[Tensor, "S T E"]:
    r"""Convolve every channel with a few taps of its own, over this and earlier frames.

    .. math::
        y_t = b + \sum_{k=0}^{K-1} w_{K-1-k}\, x_{t-k}

    with zero before the first frame. The few taps are multiply-adds of shifted streams: a library
    convolution would want the channels first, and so two transposes of the whole stream.

    Args:
        x: The stream.
        weight: Taps as ``torch.nn.Conv1d`` has them, the present frame last.
        bias: Added to every frame.

    Returns:
        The convolved stream in the dtype of ``x``, summed in at least float32, under autocast too.

    Example:
        Each frame plus half of the frame before it.

        >>> x = torch.tensor([1.0, 0.0, 4.0]).view(1, 3, 1)
        >>> causal_conv(x, weight=torch.tensor([[[0.5, 1.0]]]), bias=torch.zeros(1)).flatten()
        tensor([1.0000, 0.5000, 4.0000])
    """
    return _CausalConv.apply(x, weight, bias)


class _CausalConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        acc_dtype = torch.promote_types(x.dtype, torch.float32)
        x_STE, taps_KE = x.to(acc_dtype), _taps(weight, acc_dtype)
        y_STE = torch.addcmul(bias.to(acc_dtype), x_STE, taps_KE[0])
        for lag in _lags(weight):
            y_STE[:, lag:].addcmul_(x_STE[:, :-lag], taps_KE[lag])
        return y_STE.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, bias = ctx.saved_tensors
        acc_dtype = torch.promote_types(x.dtype, torch.float32)
        x_STE, dy_STE, taps_KE = x.to(acc_dtype), dy.to(acc_dtype), _taps(weight, acc_dtype)
        dx_STE = dy_STE * taps_KE[0]
        dtaps_KE = torch.zeros_like(taps_KE)
        dtaps_KE[0] = (dy_STE * x_STE).sum((0, 1))
        for lag in _lags(weight):
            dx_STE[:, :-lag].addcmul_(dy_STE[:, lag:], taps_KE[lag])
            dtaps_KE[lag] = (dy_STE[:, lag:] * x_STE[:, :-lag]).sum((0, 1))
        dweight = dtaps_KE.flip(0).t().unsqueeze(1).to(weight.dtype)
        return dx_STE.to(x.dtype), dweight, dy_STE.sum((0, 1)).to(bias.dtype)


def _taps(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the taps by lag, the present frame first: K E."""
    return weight.squeeze(1).t().flip(0).to(dtype).contiguous()


def _lags(weight: Tensor) -> range:
    """List the lags of the taps on earlier frames."""
    return range(1, weight.shape[-1])
