"""Kinematic Prior Encoder: estimates motion and change between frames, as input of the scanner.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 3.3, Equations 12-18.

Dimensions:
    B: clips
    T: frames
    O: temporal offsets
    D: backbone width
    H, W: patch grid
    M: hidden width of the operators
    S: values that compare a patch with a frame: similarities in a window, or a difference
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.models.config import PriorPrecision, VariationEnds, ZeroContext
from pks4_lightning.ops.autocast import without_autocast
from pks4_lightning.ops.correlation import correlate, local_correlation
from pks4_lightning.ops.temporal_shift import context_offsets
from pks4_lightning.ops.variation import temporal_variation

__all__ = ["CorrelationOperator", "KinematicPriorEncoder", "PriorState", "VariationOperator"]


class PriorState(NamedTuple):
    """The state of an operator for a stream; initially zeros."""

    reduced: Float[Tensor, "B N M H W"]
    """Reduced maps of the last frames, as many as a comparison spans, without the newest."""
    waiting: Float[Tensor, "B N D H W"]
    """Features of frames that wait for later neighbours."""
    exists: Float[Tensor, "B N"]
    """1 if ``reduced`` holds a frame, 0 before the first one."""


class KinematicPriorEncoder(nn.Module):
    """Add motion to patch features: first correspondences, then changes (Equation 13).

    The paper shows no residual connection around the operators, yet its ablation applies one after
    the other; we use one around each, so that the second sees features and not only maps.

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width of the operators.
        context_frames: Number of neighbouring frames, even.
        window_size: Side of the correlation window in patches, odd.
        use_correlation: Include the correlation operator.
        use_variation: Include the variation operator.
        causal: Use past neighbouring frames only.
        init_scale: Factor on PyTorch's initial values of the operators' last projections; with
            zero, a new encoder is the identity.
        zero_context: What ``context_frames`` 0 compares a frame with: itself, or the previous one.
        variation_ends: How the variation operator treats neighbours beyond the clip.
        precision: ``fp32``: reduce and compare in float32 whatever the autocast.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_prior: int = 64,
        context_frames: int = 4,
        window_size: int = 9,
        use_correlation: bool = True,
        use_variation: bool = True,
        causal: bool = False,
        init_scale: float = 1.0,
        zero_context: ZeroContext = "self",
        variation_ends: VariationEnds = "zero",
        precision: PriorPrecision = "autocast",
    ) -> None:
        super().__init__()
        offsets = context_offsets(context_frames, causal=causal, zero_context=zero_context)
        self.correlation = (
            CorrelationOperator(
                d_model,
                d_prior=d_prior,
                offsets=offsets,
                window_size=window_size,
                precision=precision,
            )
            if use_correlation
            else None
        )
        self.variation = (
            VariationOperator(
                d_model,
                d_prior=d_prior,
                offsets=offsets,
                ends=variation_ends,
                precision=precision,
            )
            if use_variation
            else None
        )
        for operator in self._operators():
            operator.aggregate.scale(init_scale)

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the features with their kinematic priors added."""
        if self.correlation is not None:
            x = x + self.correlation(x)
        if self.variation is not None:
            x = x + self.variation(x)
        return x

    @property
    def delay(self) -> int:
        """Number of later frames that a frame's priors need, summed over the operators."""
        return sum(operator.delay for operator in self._operators())

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> tuple[PriorState, ...]:
        """Return the state before the first frame of streams with such features."""
        return tuple(operator.initial_state(like) for operator in self._operators())

    def step(
        self,
        x: Float[Tensor, "B T D H W"],
        state: tuple[PriorState, ...],
        exists: Float[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T D H W"], Float[Tensor, "B T"] | None, tuple[PriorState, ...]]:
        """Add the priors to the frames whose neighbours are now known.

        Args:
            x: The next frames, any number.
            state: State after the preceding frames.
            exists: 1 for frames that exist. ``None``: all do.

        Returns:
            The result of :meth:`forward` for the frames ``delay`` earlier, which of them exist
            (``None``: all), and the state.
        """
        after = []
        for operator, before in zip(self._operators(), state, strict=True):
            x, exists, now = operator.step(x, before, exists)
            after.append(now)
        return x, exists, tuple(after)

    def _operators(self) -> list["_PriorOperator"]:
        return [each for each in (self.correlation, self.variation) if each is not None]


class _PriorOperator(nn.Module):
    """Compare each frame with its neighbours at a reduced width, and project back."""

    reduce: nn.Sequential
    aggregate: "_OffsetAggregation"

    def __init__(self, *, offsets: Sequence[int], precision: PriorPrecision) -> None:
        super().__init__()
        self.offsets = offsets
        self.precision = precision

    @property
    def delay(self) -> int:
        """Number of later frames that a frame's prior needs."""
        return max(self.offsets[-1], 0)

    @property
    def num_remembered(self) -> int:
        """Number of past frames that must be kept for comparisons, besides the newest."""
        return self.delay - self.offsets[0]

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the prior, to be added to ``x``."""
        with self._context(x):
            compared = self.compare(self._reduced(x))
        return self._prior(compared.to(x.dtype))

    def compare(self, reduced: Float[Tensor, "B T M H W"]) -> Float[Tensor, "B T O S H W"]:
        """Compare the frames of whole clips with each other."""
        raise NotImplementedError

    def compare_with(
        self,
        reduced: Float[Tensor, "B T M H W"],
        near: Float[Tensor, "B T O M H W"],
        exists: Float[Tensor, "B T O"],
    ) -> Float[Tensor, "B T O S H W"]:
        """Compare frames with given neighbours, some of which may not exist."""
        raise NotImplementedError

    def encode(self, compared: Float[Tensor, "B T O S H W"]) -> Float[Tensor, "B T O M H W"]:
        """Project comparisons to the operator's width."""
        return compared

    @property
    def _reduction(self) -> nn.Conv2d:
        convolution = self.reduce[0]
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def _prior(self, compared: Tensor) -> Tensor:
        prior: Tensor = self.aggregate(self.encode(compared))
        return prior

    def _context(self, x: Tensor) -> AbstractContextManager[object]:
        return without_autocast(x.device) if self.precision == "fp32" else nullcontext()

    def _reduced(self, x: Tensor) -> Tensor:
        if self.precision == "autocast":
            return _per_frame(self.reduce, x)
        reduced = _per_frame(self.reduce, x.to(self._reduction.weight.dtype))
        return reduced.to(torch.promote_types(reduced.dtype, torch.float32))

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> PriorState:
        """Return the state before the first frame of streams with such features."""
        num_streams, _, *grid = like.shape
        width = self._reduction.out_channels
        return PriorState(
            like.new_zeros(num_streams, self.num_remembered, width, *grid),
            like.new_zeros(num_streams, self.delay, *like.shape[1:]),
            like.new_zeros(num_streams, self.num_remembered),
        )

    def step(
        self,
        x: Float[Tensor, "B T D H W"],
        state: PriorState,
        exists: Float[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T D H W"], Float[Tensor, "B T"] | None, PriorState]:
        """Add the prior to the frames whose neighbours are now known.

        Args:
            x: The next frames, any number.
            state: State after the preceding frames.
            exists: 1 for frames that exist. ``None``: all do.

        Returns:
            ``x + self(x)`` of the frames ``delay`` earlier, which of them exist (``None``: all),
            and the state.
        """
        num_frames = x.shape[1]
        with self._context(x):
            reduced = self._reduced(x)
        present = x.new_ones(x.shape[:2]) if exists is None else exists
        if exists is not None:
            reduced = reduced * exists[..., None, None, None]
        frames = torch.cat([state.reduced, reduced], dim=1)
        known = torch.cat([state.exists, present], dim=1)
        spans = frames.unfold(1, self.num_remembered + 1, 1).movedim(-1, 2)
        spans_exist = known.unfold(1, self.num_remembered + 1, 1)
        # a span begins with the first neighbour of the frame that is completed
        here, num_offsets = -self.offsets[0], len(self.offsets)
        with self._context(x):
            compared = self.compare_with(
                spans[:, :, here], spans[:, :, :num_offsets], spans_exist[:, :, :num_offsets]
            )
        prior = self._prior(compared.to(x.dtype))
        # slices would keep all frames in memory
        kept, remembered = frames[:, num_frames:].clone(), known[:, num_frames:].clone()
        if not self.delay:
            return x + prior, exists, PriorState(kept, state.waiting, remembered)
        waiting = torch.cat([state.waiting, x], dim=1)
        after = PriorState(kept, waiting[:, num_frames:].clone(), remembered)
        return waiting[:, :num_frames] + prior, spans_exist[:, :, here], after


class CorrelationOperator(_PriorOperator):
    """Estimate from local correlations where each patch comes from and goes to (Equations 15-16).

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width.
        offsets: Neighbouring frames, ascending without gaps, including 0 or earlier ones.
        window_size: Side of the search window in patches, odd.
        precision: ``fp32``: reduce and compare in float32 whatever the autocast.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_prior: int = 64,
        offsets: Sequence[int] = (-2, -1, 0, 1, 2),
        window_size: int = 9,
        precision: PriorPrecision = "autocast",
    ) -> None:
        super().__init__(offsets=offsets, precision=precision)
        self.window_size = window_size
        self.reduce = _conv_norm_relu(d_model, d_prior)
        self.displacement = nn.Sequential(
            _conv_norm_relu(window_size**2, d_prior), _conv_norm_relu(d_prior, d_prior)
        )
        self.aggregate = _OffsetAggregation(d_model, d_prior=d_prior, num_offsets=len(offsets))

    def compare(self, reduced: Float[Tensor, "B T M H W"]) -> Float[Tensor, "B T O S H W"]:
        """Compare each patch with the windows around it."""
        return local_correlation(reduced, offsets=self.offsets, window_size=self.window_size)

    def compare_with(
        self,
        reduced: Float[Tensor, "B T M H W"],
        near: Float[Tensor, "B T O M H W"],
        exists: Float[Tensor, "B T O"],  # noqa: ARG002 - a frame of zeros gives zero
    ) -> Float[Tensor, "B T O S H W"]:
        """Compare each patch with windows of given frames."""
        return correlate(reduced, near, window_size=self.window_size)

    def encode(self, compared: Float[Tensor, "B T O S H W"]) -> Float[Tensor, "B T O M H W"]:
        """Estimate displacements from similarities."""
        return _per_frame(self.displacement, compared)


class VariationOperator(_PriorOperator):
    """Estimate from differences between frames what changes (Equations 17-18).

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width.
        offsets: Neighbouring frames, ascending without gaps, including 0 or earlier ones.
        ends: ``zero``: the difference to a neighbour beyond the clip is zero. ``negative``: the
            neighbour is zero.
        precision: ``fp32``: reduce and compare in float32 whatever the autocast.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_prior: int = 64,
        offsets: Sequence[int] = (-2, -1, 0, 1, 2),
        ends: VariationEnds = "zero",
        precision: PriorPrecision = "autocast",
    ) -> None:
        super().__init__(offsets=offsets, precision=precision)
        self.ends = ends
        self.reduce = _conv_norm_relu(d_model, d_prior)
        self.aggregate = _OffsetAggregation(d_model, d_prior=d_prior, num_offsets=len(offsets))

    def compare(self, reduced: Float[Tensor, "B T M H W"]) -> Float[Tensor, "B T O S H W"]:
        """Subtract each frame from its neighbours."""
        return temporal_variation(reduced, offsets=self.offsets, ends=self.ends)

    def compare_with(
        self,
        reduced: Float[Tensor, "B T M H W"],
        near: Float[Tensor, "B T O M H W"],
        exists: Float[Tensor, "B T O"],
    ) -> Float[Tensor, "B T O S H W"]:
        """Subtract each frame from given neighbours; those that do not exist are zero."""
        if self.ends == "negative":
            return near - reduced.unsqueeze(2)
        return near - exists[..., None, None, None] * reduced.unsqueeze(2)


class _OffsetAggregation(nn.Module):
    """Refine each offset's map separately, then join the offsets and project to full width."""

    def __init__(self, d_model: int, *, d_prior: int, num_offsets: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            _conv_norm_relu(d_prior, d_prior), _conv_norm_relu(d_prior, d_prior)
        )
        self.join = nn.Sequential(
            _conv_norm_relu(num_offsets * d_prior, d_prior),
            nn.Conv2d(d_prior, d_model, kernel_size=1),
        )

    @torch.no_grad()
    def scale(self, factor: float) -> None:
        """Multiply the up-projection."""
        for parameter in self.join[1].parameters():
            parameter.mul_(factor)

    def forward(self, x: Float[Tensor, "B T O M H W"]) -> Float[Tensor, "B T D H W"]:
        refined = _per_frame(self.refine, x)
        return _per_frame(self.join, refined.flatten(2, 3))


def _conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _per_frame(module: nn.Module, x: Tensor) -> Tensor:
    """Apply an image module to every leading index of x: ... C H W."""
    y: Tensor = module(x.flatten(0, -4))
    return y.unflatten(0, x.shape[:-3])
