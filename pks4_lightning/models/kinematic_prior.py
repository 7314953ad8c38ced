"""Kinematic Prior Encoder: what moves where, and what changes, for the scanner to track.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 3.3, Equations 12-18.

Dimensions:
    B: clips
    T: frames
    O: temporal offsets, ``context_frames + 1``
    D: backbone width
    H, W: patch grid
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.ops.correlation import correlate, local_correlation
from pks4_lightning.ops.variation import temporal_variation

__all__ = ["CorrelationOperator", "KinematicPriorEncoder", "PriorState", "VariationOperator"]


class PriorState(NamedTuple):
    """What an operator remembers of a stream; zeros at its start."""

    reduced: Float[Tensor, "B N M H W"]
    """Reduced maps of the last ``context_frames`` frames."""
    waiting: Float[Tensor, "B N D H W"]
    """Features of the frames whose later neighbours are still to come."""
    exists: Float[Tensor, "B N"]
    """1 where ``reduced`` holds a frame, 0 before the first one."""


class KinematicPriorEncoder(nn.Module):
    """Add motion to patch features: first correspondences, then changes (Equation 13).

    The paper shows no residual around the operators, yet its ablation adds one operator on top of
    the other; we use one around each, so that the second sees features and not maps only.

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width of the operators.
        context_frames: Number of neighbouring frames, even.
        window_size: Side of the correlation window in patches, odd.
        use_correlation: Include the correlation operator.
        use_variation: Include the variation operator.
        causal: Take the neighbouring frames from the past alone.
        zero_init: Start the operators' last projections at zero: a new encoder is the identity.
            Off: PyTorch's own start.
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
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.correlation = (
            CorrelationOperator(
                d_model,
                d_prior=d_prior,
                context_frames=context_frames,
                window_size=window_size,
                causal=causal,
            )
            if use_correlation
            else None
        )
        self.variation = (
            VariationOperator(
                d_model, d_prior=d_prior, context_frames=context_frames, causal=causal
            )
            if use_variation
            else None
        )
        if zero_init:
            for operator in self._operators():
                operator.aggregate.reset_to_zero()

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the features with their kinematic priors added."""
        if self.correlation is not None:
            x = x + self.correlation(x)
        if self.variation is not None:
            x = x + self.variation(x)
        return x

    @property
    def delay(self) -> int:
        """Frames that must follow before a frame's priors are known: the operators' in series."""
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
        """Add the priors to the frames whose neighbours are known by now.

        Args:
            x: The next frames, any number.
            state: After the frames before.
            exists: 1 for frames that are there. ``None``: all are.

        Returns:
            What :meth:`forward` returns for the frames ``delay`` earlier, which of them exist
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
    """Compare each frame with its neighbours at a reduced width, and return to the full one."""

    reduce: nn.Module
    aggregate: "_OffsetAggregation"

    def __init__(self, *, context_frames: int, causal: bool) -> None:
        super().__init__()
        self.context_frames = context_frames
        self.causal = causal

    @property
    def delay(self) -> int:
        """Frames that must follow before a frame's prior is known."""
        return 0 if self.causal else self.context_frames // 2

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the prior, to be added to ``x``."""
        prior: Tensor = self.aggregate(self.compare(_per_frame(self.reduce, x)))
        return prior

    def compare(self, reduced: Float[Tensor, "B T M H W"]) -> Float[Tensor, "B T O M H W"]:
        """Compare the frames of whole clips with each other."""
        raise NotImplementedError

    def compare_with(
        self,
        reduced: Float[Tensor, "B T M H W"],
        near: Float[Tensor, "B T O M H W"],
        exists: Float[Tensor, "B T O"],
    ) -> Float[Tensor, "B T O M H W"]:
        """Compare frames with neighbours at hand, of which some do not exist."""
        raise NotImplementedError

    def initial_state(self, like: Float[Tensor, "B D H W"]) -> PriorState:
        """Return the state before the first frame of streams with such features."""
        num_streams, _, *grid = like.shape
        width = self.reduce[0].out_channels  # type: ignore[index]
        return PriorState(
            like.new_zeros(num_streams, self.context_frames, width, *grid),
            like.new_zeros(num_streams, self.delay, *like.shape[1:]),
            like.new_zeros(num_streams, self.context_frames),
        )

    def step(
        self,
        x: Float[Tensor, "B T D H W"],
        state: PriorState,
        exists: Float[Tensor, "B T"] | None,
    ) -> tuple[Float[Tensor, "B T D H W"], Float[Tensor, "B T"] | None, PriorState]:
        """Add the prior to the frames whose neighbours are known by now.

        Args:
            x: The next frames, any number.
            state: After the frames before.
            exists: 1 for frames that are there. ``None``: all are.

        Returns:
            ``x + self(x)`` of the frames ``delay`` earlier, which of them exist (``None``: all),
            and the state.
        """
        num_frames = x.shape[1]
        reduced = _per_frame(self.reduce, x)
        present = x.new_ones(x.shape[:2]) if exists is None else exists
        if exists is not None:
            reduced = reduced * exists[..., None, None, None]
        frames = torch.cat([state.reduced, reduced], dim=1)
        known = torch.cat([state.exists, present], dim=1)
        near = frames.unfold(1, self.context_frames + 1, 1).movedim(-1, 2)
        near_exists = known.unfold(1, self.context_frames + 1, 1)
        here = self.context_frames - self.delay
        prior = self.aggregate(self.compare_with(near[:, :, here], near, near_exists))
        # slices would keep all frames in memory
        kept, remembered = frames[:, num_frames:].clone(), known[:, num_frames:].clone()
        if not self.delay:
            return x + prior, exists, PriorState(kept, state.waiting, remembered)
        waiting = torch.cat([state.waiting, x], dim=1)
        after = PriorState(kept, waiting[:, num_frames:].clone(), remembered)
        return waiting[:, :num_frames] + prior, near_exists[:, :, here], after


class CorrelationOperator(_PriorOperator):
    """Tell from local correlations where each patch comes from and goes to (Equations 15-16).

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width.
        context_frames: Number of neighbouring frames, even.
        window_size: Side of the search window in patches, odd.
        causal: Take the neighbouring frames from the past alone.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_prior: int = 64,
        context_frames: int = 4,
        window_size: int = 9,
        causal: bool = False,
    ) -> None:
        super().__init__(context_frames=context_frames, causal=causal)
        self.window_size = window_size
        self.reduce = _conv_norm_relu(d_model, d_prior)
        self.displacement = nn.Sequential(
            _conv_norm_relu(window_size**2, d_prior), _conv_norm_relu(d_prior, d_prior)
        )
        self.aggregate = _OffsetAggregation(
            d_model, d_prior=d_prior, num_offsets=context_frames + 1
        )

    def compare(self, reduced: Float[Tensor, "B T M H W"]) -> Float[Tensor, "B T O M H W"]:
        """Encode each patch's similarities with the windows around it."""
        scores = local_correlation(
            reduced,
            context_frames=self.context_frames,
            window_size=self.window_size,
            causal=self.causal,
        )
        return _per_frame(self.displacement, scores)

    def compare_with(
        self,
        reduced: Float[Tensor, "B T M H W"],
        near: Float[Tensor, "B T O M H W"],
        exists: Float[Tensor, "B T O"],  # noqa: ARG002 - a frame of zeros answers with zero
    ) -> Float[Tensor, "B T O M H W"]:
        """Do the same with neighbours at hand."""
        return _per_frame(self.displacement, correlate(reduced, near, window_size=self.window_size))


class VariationOperator(_PriorOperator):
    """Tell from differences between frames what changes (Equations 17-18).

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width.
        context_frames: Number of neighbouring frames, even.
        causal: Take the neighbouring frames from the past alone.
    """

    def __init__(
        self, d_model: int, *, d_prior: int = 64, context_frames: int = 4, causal: bool = False
    ) -> None:
        super().__init__(context_frames=context_frames, causal=causal)
        self.reduce = _conv_norm_relu(d_model, d_prior)
        self.aggregate = _OffsetAggregation(
            d_model, d_prior=d_prior, num_offsets=context_frames + 1
        )

    def compare(self, reduced: Float[Tensor, "B T M H W"]) -> Float[Tensor, "B T O M H W"]:
        """Subtract each frame from its neighbours."""
        return temporal_variation(reduced, context_frames=self.context_frames, causal=self.causal)

    def compare_with(
        self,
        reduced: Float[Tensor, "B T M H W"],
        near: Float[Tensor, "B T O M H W"],
        exists: Float[Tensor, "B T O"],
    ) -> Float[Tensor, "B T O M H W"]:
        """Do the same with neighbours at hand; one that does not exist answers with zero."""
        return near - exists[..., None, None, None] * reduced.unsqueeze(2)


class _OffsetAggregation(nn.Module):
    """Refine each offset's map alone, then join the offsets and return to the backbone's width."""

    def __init__(self, d_model: int, *, d_prior: int, num_offsets: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            _conv_norm_relu(d_prior, d_prior), _conv_norm_relu(d_prior, d_prior)
        )
        # The up-projection starts like any other: where the prior only feeds the scanner, whose
        # zero output projection keeps the identity, two zeros in a row would leave the encoder
        # almost without gradient.
        self.join = nn.Sequential(
            _conv_norm_relu(num_offsets * d_prior, d_prior),
            nn.Conv2d(d_prior, d_model, kernel_size=1),
        )

    def reset_to_zero(self) -> None:
        """Let the up-projection return zero."""
        for parameter in self.join[1].parameters():
            nn.init.zeros_(parameter)

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
