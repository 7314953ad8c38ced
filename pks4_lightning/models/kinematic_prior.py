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

from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.ops.correlation import local_correlation
from pks4_lightning.ops.variation import temporal_variation

__all__ = ["CorrelationOperator", "KinematicPriorEncoder", "VariationOperator"]


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
    ) -> None:
        super().__init__()
        self.correlation = (
            CorrelationOperator(
                d_model, d_prior=d_prior, context_frames=context_frames, window_size=window_size
            )
            if use_correlation
            else None
        )
        self.variation = (
            VariationOperator(d_model, d_prior=d_prior, context_frames=context_frames)
            if use_variation
            else None
        )

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the features with their kinematic priors added."""
        if self.correlation is not None:
            x = x + self.correlation(x)
        if self.variation is not None:
            x = x + self.variation(x)
        return x


class CorrelationOperator(nn.Module):
    """Tell from local correlations where each patch comes from and goes to (Equations 15-16).

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width.
        context_frames: Number of neighbouring frames, even.
        window_size: Side of the search window in patches, odd.
    """

    def __init__(
        self, d_model: int, *, d_prior: int = 64, context_frames: int = 4, window_size: int = 9
    ) -> None:
        super().__init__()
        self.context_frames = context_frames
        self.window_size = window_size
        self.reduce = _conv_norm_relu(d_model, d_prior)
        self.displacement = nn.Sequential(
            _conv_norm_relu(window_size**2, d_prior), _conv_norm_relu(d_prior, d_prior)
        )
        self.aggregate = _OffsetAggregation(
            d_model, d_prior=d_prior, num_offsets=context_frames + 1
        )

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the correspondence prior, to be added to ``x``."""
        reduced = _per_frame(self.reduce, x)
        scores = local_correlation(
            reduced, context_frames=self.context_frames, window_size=self.window_size
        )
        return self.aggregate(_per_frame(self.displacement, scores))


class VariationOperator(nn.Module):
    """Tell from differences between frames what changes (Equations 17-18).

    Args:
        d_model: Width of the features read and written.
        d_prior: Hidden width.
        context_frames: Number of neighbouring frames, even.
    """

    def __init__(self, d_model: int, *, d_prior: int = 64, context_frames: int = 4) -> None:
        super().__init__()
        self.context_frames = context_frames
        self.reduce = _conv_norm_relu(d_model, d_prior)
        self.aggregate = _OffsetAggregation(
            d_model, d_prior=d_prior, num_offsets=context_frames + 1
        )

    def forward(self, x: Float[Tensor, "B T D H W"]) -> Float[Tensor, "B T D H W"]:
        """Return the change prior, to be added to ``x``."""
        reduced = _per_frame(self.reduce, x)
        return self.aggregate(temporal_variation(reduced, context_frames=self.context_frames))


class _OffsetAggregation(nn.Module):
    """Refine each offset's map alone, then join the offsets and return to the backbone's width."""

    def __init__(self, d_model: int, *, d_prior: int, num_offsets: int) -> None:
        super().__init__()
        self.refine = nn.Sequential(
            _conv_norm_relu(d_prior, d_prior), _conv_norm_relu(d_prior, d_prior)
        )
        # The up-projection starts like any other: the scanner's zero output projection alone keeps
        # the identity. Two zeros in a row would leave the encoder almost without gradient.
        self.join = nn.Sequential(
            _conv_norm_relu(num_offsets * d_prior, d_prior),
            nn.Conv2d(d_prior, d_model, kernel_size=1),
        )

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
