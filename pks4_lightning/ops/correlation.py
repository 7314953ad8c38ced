"""Similarity of every patch with the patches around it in neighbouring frames.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Equation 15.

Dimensions:
    B: clips
    T: frames
    O: temporal offsets
    C: channels
    H, W: patch grid
    V: width of the grid with a border of half a window on both sides
    M: displacements, ``window_size`` squared, row by row
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.temporal_shift import shift_frames
from pks4_lightning.ops.window_rows import correlate_rows

__all__ = ["correlate", "local_correlation"]

# below the norm of any feature that carries information; an all-zero patch (ReLU) stays zero
_NORM_FLOOR = 1e-6


def local_correlation(
    x: Float[Tensor, "B T C H W"], *, offsets: Sequence[int], window_size: int
) -> Float[Tensor, "B T O M H W"]:
    r"""Correlate every patch with a window of patches in each neighbouring frame.

    .. math::
        S_{t,\tau}(p, \delta) = \langle \bar f_t(p), \bar f_{t+\tau}(p + \delta) \rangle,
        \qquad \bar f = f / \lVert f \rVert_2

    Positions outside the grid and frames outside the clip are zero vectors and give zero. Second
    derivatives are not implemented.

    Args:
        x: Features on the patch grid, with any norm: they are normalised here, in at least
            float32.
        offsets: Neighbours, in frames, in their order along ``O``; see
            :func:`~pks4_lightning.ops.temporal_shift.context_offsets`.
        window_size: Side of the square search window in patches, odd. The displacement
            ``(u, v)``, downwards and to the right, has the index
            ``(u + window_size // 2) * window_size + v + window_size // 2`` along ``M``.

    Returns:
        Cosines in [-1, 1], in the dtype of ``x``, in channels-last memory layout, which the
        following convolutions prefer.

    Raises:
        ValueError: If ``window_size`` is not odd.
    """
    _check_window(window_size)
    x_HBTWC = _unit(x).permute(3, 0, 1, 4, 2)
    first, num_offsets = offsets[0], len(offsets)
    is_gapless = list(offsets) == list(range(first, first + num_offsets))
    if is_gapless and not torch.compiler.is_compiling():
        return correlate_rows(
            x_HBTWC, x_HBTWC, window_size=window_size, first=first, num_offsets=num_offsets, hop=1
        )
    x_BTHWC = x_HBTWC.permute(1, 2, 0, 3, 4)
    near_BTHOWC = torch.stack([shift_frames(x_BTHWC, offset) for offset in offsets], dim=3)
    return _correlate(x_HBTWC, near_BTHOWC.permute(2, 0, 1, 3, 4, 5), window_size)


def correlate(
    x: Float[Tensor, "B T C H W"], near: Float[Tensor, "B T O C H W"], *, window_size: int
) -> Float[Tensor, "B T O M H W"]:
    """Correlate every patch with windows of given frames, such as a stream's past frames.

    Args:
        x: Features on the patch grid.
        near: The frames to compare with; a frame of zeros gives zero.
        window_size: As in :func:`local_correlation`.

    Returns:
        As in :func:`local_correlation`.

    Raises:
        ValueError: If ``window_size`` is not odd.
    """
    _check_window(window_size)
    x_HBTWC, near_HBTOWC = _unit(x).permute(3, 0, 1, 4, 2), _unit(near).permute(4, 0, 1, 2, 5, 3)
    return _correlate(x_HBTWC, near_HBTOWC, window_size)


def _check_window(window_size: int) -> None:
    if window_size < 1 or window_size % 2 == 0:
        raise ValueError(
            f"window_size ({window_size}) must be odd and positive: the window is centred on a "
            f"patch."
        )


def _unit(x: Tensor) -> Tensor:
    """Normalise the channels, the third axis from the end, in at least float32."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return F.normalize(wide, dim=-3, eps=_NORM_FLOOR).to(x.dtype)


def _correlate(x_HBTWC: Tensor, near_HBTOWC: Tensor, window_size: int) -> Tensor:
    """Correlate unit vectors with frames of their own: B T O M H W."""
    if torch.compiler.is_compiling():
        return _written_out(x_HBTWC, near_HBTOWC, window_size)
    num_offsets = near_HBTOWC.shape[3]
    return correlate_rows(
        x_HBTWC,
        near_HBTOWC.flatten(2, 3),
        window_size=window_size,
        first=0,
        num_offsets=num_offsets,
        hop=num_offsets,
    )


def _written_out(x_HBTWC: Tensor, near_HBTOWC: Tensor, window_size: int) -> Tensor:
    """Correlate with operators that every compiler and runtime knows; a compiler joins copies."""
    x_HBTWC = x_HBTWC.contiguous()
    height, radius = len(x_HBTWC), window_size // 2
    near_HBTOVC = F.pad(near_HBTOWC, (0, 0, radius, radius, 0, 0, 0, 0, 0, 0, radius, radius))
    scores = [
        _window_row(x_HBTWC, near_HBTOVC[row : row + height], window_size)
        for row in range(window_size)
    ]
    scores_HBTWOM = torch.stack(scores, dim=-2).flatten(-2)
    scores_BTOHWM = scores_HBTWOM.permute(1, 2, 4, 0, 3, 5).contiguous()
    return scores_BTOHWM.movedim(-1, 3)


def _window_row(x_HBTWC: Tensor, near_HBTOVC: Tensor, window_size: int) -> Tensor:
    """Correlate each row of patches with one row of the window: H B T W O window_size."""
    width, num_offsets, padded_width = x_HBTWC.shape[-2], *near_HBTOVC.shape[-3:-1]
    rows, keys = x_HBTWC.flatten(0, 2), near_HBTOVC.flatten(3, 4).flatten(0, 2)
    band = rows @ keys.transpose(1, 2)
    # shearing the band turns the diagonal x' = x + v into column v
    band = F.pad(band.flatten(1), (0, width)).unflatten(1, (width, -1))[..., :-1]
    band = band.unflatten(-1, (num_offsets, padded_width))[..., :window_size]
    return band.unflatten(0, x_HBTWC.shape[:3])
