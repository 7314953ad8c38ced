"""Causal depthwise convolution along time with SiLU, in the tokens' memory layout.

Reference:
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
    https://arxiv.org/abs/2312.00752, Figure 3.

Dimensions:
    S: sequences (clips x patch locations)
    T: time steps, one per frame
    E: channels
    K: taps
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.backend import ScanBackend, refuse_tangents, scan_backend, two_axes
from pks4_lightning.ops.conv.registration import register_conv, taps_by_lag

__all__ = ["causal_conv_silu"]


def causal_conv_silu(
    x: Float[Tensor, "*S T E"],
    weight: Float[Tensor, "E 1 K"],
    bias: Float[Tensor, " E"],
    *,
    backend: ScanBackend = "auto",
) -> Float[Tensor, "*S T E"]:
    r"""Convolve every channel with its own taps over this and earlier frames, then apply SiLU.

    .. math::
        y_t = \mathrm{SiLU}\left(b + \sum_{k=0}^{K-1} w_{K-1-k}\, x_{t-k}\right)

    with zeros before the first frame. The few taps are multiply-adds of shifted streams, because a
    library convolution needs channels first and would transpose the whole stream twice. Only the
    inputs are kept for the backward pass, which repeats the convolution.

    Args:
        x: The stream. The sequences may be on several axes, with any strides.
        weight: Taps in the layout of ``torch.nn.Conv1d``, with the current frame last.
        bias: Added to every frame.
        backend: As in :func:`~pks4_lightning.ops.scan.selective_scan.selective_scan`. The
            convolution uses Triton or torch's own operators if the scan does, and plain PyTorch
            otherwise.

    Returns:
        The stream in the dtype and memory order of ``x``, computed in at least float32, also under
        autocast.

    Raises:
        NotImplementedError: If an input carries a tangent of forward-mode differentiation, unless
            the backend is ``portable``.

    Example:
        Each frame plus half of the previous frame; SiLU keeps large values unchanged.

        >>> x = torch.tensor([100.0, 0.0, 400.0]).view(1, 3, 1)
        >>> taps = torch.tensor([[[0.5, 1.0]]])
        >>> causal_conv_silu(x, weight=taps, bias=torch.zeros(1)).flatten()
        tensor([100.,  50., 400.])
    """
    resolved = scan_backend(x.device, backend)
    if resolved != "portable":
        refuse_tangents(x, weight, bias)
    conv = _implementation(resolved)
    return conv(two_axes(x), weight, bias).reshape(x.shape)


def _implementation(backend: str) -> Callable[..., Tensor]:
    if backend == "triton":
        from pks4_lightning.ops.conv.triton import conv_by_triton

        return conv_by_triton
    return _written_out if backend == "portable" else _conv


def _written_out(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    dtype = torch.promote_types(x.dtype, torch.float32)
    num_steps, taps_KE = x.shape[-2], weight.to(dtype).squeeze(1).unbind(-1)
    padded = F.pad(x.to(dtype), (0, 0, len(taps_KE) - 1, 0))
    h = bias.to(dtype)
    for first, tap_E in enumerate(taps_KE):
        h = h + padded[..., first : first + num_steps, :] * tap_E
    return F.silu(h).to(x.dtype)


@torch.library.custom_op("pks4::causal_conv_silu", mutates_args=())
def _conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    acc_dtype = torch.promote_types(x.dtype, torch.float32)
    taps_KE, bias_E = taps_by_lag(weight, acc_dtype), bias.to(acc_dtype)
    y = torch.empty_like(x)
    for x_STE, y_STE in zip(x, y, strict=True):
        h_TSE = _convolve(x_STE.transpose(0, 1).to(acc_dtype), taps_KE, bias_E)
        y_STE.copy_(F.silu(h_TSE, inplace=True).transpose(0, 1))
    return y


@torch.library.custom_op("pks4::causal_conv_silu_backward", mutates_args=())
def _conv_backward(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    acc_dtype = torch.promote_types(x.dtype, torch.float32)
    taps_KE, bias_E = taps_by_lag(weight, acc_dtype), bias.to(acc_dtype)
    dtaps_KE, dbias_E = torch.zeros_like(taps_KE), torch.zeros_like(bias_E)
    dx = torch.empty_like(x)
    for x_STE, dy_STE, dx_STE in zip(x, dy, dx, strict=True):
        x_TSE, dy_TSE = (z.transpose(0, 1).to(acc_dtype) for z in (x_STE, dy_STE))
        h_TSE = _convolve(x_TSE, taps_KE, bias_E)
        dh_TSE = torch.ops.aten.silu_backward(dy_TSE, h_TSE)
        dbias_E += dh_TSE.sum((0, 1))
        dx_TSE = torch.zeros_like(dh_TSE)
        for lag, tap_E in enumerate(taps_KE):
            within = max(0, len(x_TSE) - lag)
            dx_TSE[:within].addcmul_(dh_TSE[lag:], tap_E)
            dtaps_KE[lag] += (dh_TSE[lag:] * x_TSE[:within]).sum((0, 1))
        dx_STE.copy_(dx_TSE.transpose(0, 1))
    dweight = dtaps_KE.flip(0).t().unsqueeze(1).to(weight.dtype).contiguous()
    return dx, dweight, dbias_E.to(bias.dtype)


def _convolve(x_TSE: Tensor, taps_KE: Tensor, bias_E: Tensor) -> Tensor:
    h_TSE = torch.addcmul(bias_E, x_TSE, taps_KE[0])
    for lag in range(1, len(taps_KE)):
        h_TSE[lag:].addcmul_(x_TSE[: max(0, len(x_TSE) - lag)], taps_KE[lag])
    return h_TSE


register_conv(_conv, _conv_backward)
