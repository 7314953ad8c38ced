"""Causal convolution with SiLU on an NVIDIA GPU: torch operators that call Triton kernels."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pks4_lightning.ops.conv.kernels import conv_backward_kernel, conv_forward_kernel
from pks4_lightning.ops.conv.registration import register_conv, taps_by_lag
from pks4_lightning.ops.triton_streams import acc_dtype, grid_of, launcher, steps_of, stream_of

__all__ = ["conv_by_triton"]

# four channels per thread, so that the backward pass of a chunk fits into registers
_BLOCK = 256
_WARPS = 2
_CHUNK = 8


@torch.library.custom_op("pks4::causal_conv_silu_triton", mutates_args=())
def conv_by_triton(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the output of :func:`~pks4_lightning.ops.conv.causal_conv.causal_conv_silu`.

    The stream has its sequences on two axes, clips and patches, with any strides.
    """
    y = torch.empty_like(x)
    counts, sizes = _counts(x), _sizes(x, weight)
    launch = launcher(conv_forward_kernel[_grid(x)], x)
    launch(
        stream_of(x), *_weights(x, weight, bias), stream_of(y), *counts,
        STEPS=steps_of(x, y), **sizes,
    )  # fmt: skip
    return y


@torch.library.custom_op("pks4::causal_conv_silu_triton_backward", mutates_args=())
def _conv_backward(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dx = torch.empty_like(x)
    taps_KE, bias_E = _weights(x, weight, bias)
    grid, counts, sizes = _grid(x), _counts(x), _sizes(x, weight)
    dtaps, dbias = (w.new_empty(grid[1], *w.shape) for w in (taps_KE, bias_E))
    launch = launcher(conv_backward_kernel[grid], x)
    launch(
        stream_of(dy), stream_of(x), taps_KE, bias_E, stream_of(dx), dtaps, dbias, *counts,
        STEPS=steps_of(dy, x, dx), **sizes,
    )  # fmt: skip
    dweight = dtaps.sum(0).flip(0).t().unsqueeze(1).contiguous()
    return dx, dweight.to(weight.dtype), dbias.sum(0).to(bias.dtype)


def _weights(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    dtype = acc_dtype(x)
    return taps_by_lag(weight, dtype), bias.to(dtype).contiguous()


def _grid(x: Tensor) -> tuple[int, int]:
    return grid_of(x.shape[3], x.shape[0] * x.shape[1], _BLOCK)


def _counts(x: Tensor) -> tuple[int, int, int, int]:
    num_clips, num_patches, num_steps, num_channels = x.shape
    return num_clips * num_patches, num_patches, num_steps, num_channels


def _sizes(x: Tensor, weight: Tensor) -> dict[str, Any]:
    return {
        "K": weight.shape[-1],
        "CHUNK": min(_CHUNK, triton.next_power_of_2(x.shape[2])),
        "BLOCK_E": _BLOCK,
        "ACC": tl.float64 if acc_dtype(x) == torch.float64 else tl.float32,
        "num_warps": _WARPS,
    }


register_conv(conv_by_triton, _conv_backward)
