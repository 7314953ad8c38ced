"""The products of local correlation, computed from one copy of the frames.

A row of patches is multiplied with a row of its windows in all frames that it is compared with, by
one matrix product. Patch w and column v of the window meet in column w + v of this band, so the
scores are its diagonals. Every frame is copied once, into a buffer with a border of zeros; since
rows of the grid come first there, then clips and frames, the rows of all windows are overlapping
views of it with a constant stride. The gradients are summed in a buffer of the same layout.

Dimensions:
    B: clips
    T: frames
    O: temporal offsets
    F: frames to compare with, ``hop * T``
    C: channels
    H, W: patch grid
    U: side of the window; also its rows and its columns
    V: width of the grid with a border of half a window on both sides
    N: rows of patches, ``H * B * T``
    X: columns of the band, ``O * V``
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pks4_lightning.ops.autocast import product_dtype

__all__ = ["correlate_rows"]


def correlate_rows(
    x_HBTWC: Tensor,
    near_HBFWC: Tensor,
    *,
    window_size: int,
    first: int,
    num_offsets: int,
    hop: int,
) -> Tensor:
    """Multiply every patch with windows of ``num_offsets`` frames.

    Under autocast the products are computed in its dtype, like any other.

    Args:
        x_HBTWC: Patches.
        near_HBFWC: Frames to compare with. Frame t is compared with the frames
            ``hop * t + first`` and following; those beyond the clip give zero.
        window_size: Side of the window, odd.
        first: Offset of the first frame to compare with.
        num_offsets: Number of frames to compare with.
        hop: 1, if neighbouring frames are compared with the same frames; ``num_offsets``, if every
            frame has its own.

    Returns:
        The products: B T O M H W, the displacements M last in memory.
    """
    rows = _Rows(tuple(x_HBTWC.shape), window_size, first, num_offsets, hop)
    # autocast knows nothing of this function
    dtype = product_dtype(x_HBTWC)
    scores: Tensor = _Products.apply(x_HBTWC.to(dtype), near_HBFWC.to(dtype), rows)
    return scores


class _Products(torch.autograd.Function):
    """The products and their gradients, a row of the windows at a time."""

    @staticmethod
    def forward(ctx: Any, x_HBTWC: Tensor, near_HBFWC: Tensor, rows: "_Rows") -> Tensor:
        height, num_clips, num_frames, width, _ = rows.shape
        x, near = rows.hold_patches(x_HBTWC), rows.hold_frames(near_HBFWC)
        band_NWX = x.new_empty(rows.number, width, rows.num_offsets * rows.padded_width)
        scores = x.new_empty(
            num_clips, num_frames, rows.num_offsets, height, width, rows.size, rows.size
        )
        scores_HBTWOUU = scores.permute(3, 0, 1, 4, 2, 5, 6)
        for u in range(rows.size):
            torch.bmm(rows.patches(x), rows.windows(near, u).mT, out=band_NWX)
            scores_HBTWOUU[..., u, :].copy_(rows.diagonals(band_NWX))
        rows.clear_beyond(scores_HBTWOUU)
        ctx.save_for_backward(x, near)
        ctx.rows = rows
        return scores.flatten(-2).movedim(-1, 3)

    @staticmethod
    def backward(ctx: Any, dscores: Tensor) -> tuple[Tensor, Tensor, None]:
        if torch.is_grad_enabled():  # with create_graph; once_differentiable would miss some uses
            raise NotImplementedError(
                "local_correlation has no second derivative: differentiate its gradients "
                "numerically."
            )
        x, near = ctx.saved_tensors
        rows: _Rows = ctx.rows
        dscores_HBTWOUU = dscores.unflatten(3, (rows.size, rows.size)).permute(5, 0, 1, 6, 2, 3, 4)
        dx_NWC, dnear = torch.zeros_like(rows.patches(x)), torch.zeros_like(near)
        # the same gradients twice, by patches and by the frames they are compared with
        dband = x.new_zeros(rows.number, rows.shape[3], rows.num_offsets * rows.padded_width)
        dband_of_near = x.new_zeros(
            rows.num_blocks, rows.num_sharing * rows.shape[3], rows.hop * rows.padded_width
        )
        for u in range(rows.size):
            diagonals = rows.diagonals(dband).copy_(dscores_HBTWOUU[..., u, :])
            rows.clear_beyond(diagonals)
            rows.diagonals_by_frame(dband_of_near).copy_(diagonals)
            _add_product(dx_NWC, dband, rows.windows(near, u))
            _add_product(rows.blocks(dnear, u), dband_of_near.mT, rows.sharing_patches(x))
        return dx_NWC.unflatten(0, rows.shape[:3]), rows.frames(dnear), None


def _add_product(total: Tensor, x: Tensor, y: Tensor) -> None:
    """Add batched products in place, by an operator that torch's FLOP counter knows."""
    torch.baddbmm(total, x, y, out=total)


@dataclass(frozen=True)
class _Rows:
    """Where rows of patches, and the rows of their windows, lie in memory.

    Frames to compare with form blocks of ``hop``. Either a frame has a block of its own, or a block
    is one frame that several frames share.
    """

    shape: tuple[int, ...]
    """H, B, T, W and C of the patches."""
    size: int
    """U."""
    first: int
    num_offsets: int
    hop: int

    @property
    def number(self) -> int:
        """N."""
        return math.prod(self.shape[:3])

    @property
    def num_sharing(self) -> int:
        """Number of frames that are compared with the same block."""
        return self.num_offsets // self.hop

    @property
    def num_blocks(self) -> int:
        """Number of blocks from the first to the last that any row of patches is compared with."""
        return self.number + self.num_sharing - 1

    @property
    def padded_width(self) -> int:
        """V."""
        return self.shape[3] + self.size - 1

    def hold_patches(self, x_HBTWC: Tensor) -> Tensor:
        """Copy patches, with rows of zeros before and after for :meth:`sharing_patches`."""
        beyond = self.num_sharing - 1
        x = x_HBTWC.new_zeros(self.number + 2 * beyond, *self.shape[3:])
        self.patches(x).unflatten(0, self.shape[:3]).copy_(x_HBTWC)
        return x

    def patches(self, x: Tensor) -> Tensor:
        """View the rows of patches: N W C."""
        return x.narrow(0, self.num_sharing - 1, self.number)

    def sharing_patches(self, x: Tensor) -> Tensor:
        """View, for every block, the rows of patches that are compared with it."""
        width, num_channels = self.shape[3:]
        return x.as_strided(
            (self.num_blocks, self.num_sharing * width, num_channels),
            (width * num_channels, num_channels, 1),
        )

    def hold_frames(self, near_HBFWC: Tensor) -> Tensor:
        """Copy frames into a buffer with a border of zeros, and room for views that exceed it."""
        num_rows = (self.shape[0] + self.size - 1) * self._frames_per_row
        room = max(0, -self.first) + max(0, self.first + self.num_offsets - self.hop)
        near = near_HBFWC.new_zeros(room + num_rows, self.padded_width, self.shape[4])
        self.frames(near).copy_(near_HBFWC)
        return near

    def frames(self, near: Tensor) -> Tensor:
        """View the frames in their buffer: H B F W C."""
        height, num_clips, _, width, _ = self.shape
        start = self._start(self.size // 2) - self.first
        rows = near.narrow(0, start, height * self._frames_per_row)
        return rows.unflatten(0, (height, num_clips, -1)).narrow(3, self.size // 2, width)

    def windows(self, near: Tensor, u: int) -> Tensor:
        """View row u of the windows of every row of patches: N X C."""
        frame, num_channels = self.padded_width * self.shape[4], self.shape[4]
        return near.as_strided(
            (self.number, self.num_offsets * self.padded_width, num_channels),
            (self.hop * frame, num_channels, 1),
            self._start(u) * frame,
        )

    def blocks(self, near: Tensor, u: int) -> Tensor:
        """View the same rows block by block, without overlap."""
        rows = near.narrow(0, self._start(u), self.num_blocks * self.hop)
        return rows.unflatten(0, (-1, self.hop)).flatten(1, 2)

    def diagonals(self, band_NWX: Tensor) -> Tensor:
        """View what patches and windows have in common: H B T W O U."""
        width, columns = band_NWX.shape[1:]
        diagonals_NWOU = band_NWX.as_strided(
            (self.number, width, self.num_offsets, self.size),
            (width * columns, columns + 1, self.padded_width, 1),
        )
        return diagonals_NWOU.unflatten(0, self.shape[:3])

    def diagonals_by_frame(self, band: Tensor) -> Tensor:
        """View the same in a band that has a matrix for every block, patches by columns of it."""
        width, columns = self.shape[3], self.hop * self.padded_width
        later = (self.num_sharing - 1) * width * columns  # the same patches with the next block
        diagonals = band.as_strided(
            (self.number, width, self.num_sharing, self.hop, self.size),
            (later + width * columns, columns + 1, later, self.padded_width, 1),
            later,
        )
        return diagonals.flatten(2, 3).unflatten(0, self.shape[:3])

    def clear_beyond(self, x_HBTWO: Tensor) -> None:
        """Zero what was computed with rows or clips in place of frames beyond the clip."""
        num_frames = self.shape[2]
        for index in range(self.num_offsets):
            before = -(self.first + index)
            after = self.first + index + 1 - self.hop
            if before > 0:
                x_HBTWO[:, :, :before, :, index].zero_()
            if after > 0:
                x_HBTWO[:, :, max(0, num_frames - after) :, :, index].zero_()

    @property
    def _frames_per_row(self) -> int:
        return self.shape[1] * self.shape[2] * self.hop

    def _start(self, u: int) -> int:
        """Return the first frame of row u of the windows."""
        return max(0, -self.first) + u * self._frames_per_row + self.first
