"""Flexible training: the length and frame size of clips are drawn for every optimiser step.

The scale is drawn when videos are requested, before anything is decoded, so that workers decode
only the frames that are needed and resize them once. It depends only on the seed and the number of
the step, so all ranks, and resumed runs, draw the same scale.

Reference:
    "StretchySnake: Flexible SSM Training Unlocks Action Recognition Across Spatio-Temporal Scales",
    2025, https://arxiv.org/abs/2510.16209. Clips of varying length and resolution are the paper's;
    one independent, uniform draw of each per optimiser step is our reading.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from pks4_lightning.data.seeding import generator
from pks4_lightning.data.video.frame_source import Resize

__all__ = ["FlexibleScales", "Scale", "ScaleDraws", "StepScales", "scaled_resize"]


class Scale(NamedTuple):
    """Length and frame size of the clips of one optimiser step."""

    num_frames: int
    frame_size: int
    """Side of the square frames, in pixels."""
    cost: float = 1.0
    """Tokens of a clip, relative to one at ``data.num_frames`` and ``data.frame_size``."""
    patch_size: int | None = None
    """Side of a patch, in pixels, if it is drawn; otherwise the model decides."""
    whole_batch: int | None = None
    """Clips of the batch before some were dropped for their cost; ``None`` if none are."""


@dataclass(frozen=True, kw_only=True)
class FlexibleScales:
    """The distribution from which each optimiser step draws the scale of its training clips.

    How frames are cut into patches is set by ``model.classifier.grid_size``.

    Args:
        num_frames: Frames per clip. ``null``: always ``data.num_frames``.
        frame_sizes: Sides of the square that the model sees, in pixels. ``null``: always
            ``data.frame_size``.
        grid_sizes: Rows and columns of patches; one that divides the frame size is drawn, which
            overrides the model's setting. ``null``: the model's setting.
        lengths: ``uniform`` draws every number of frames equally often; ``inverse`` draws T with
            probability proportional to 1/T, so that every length takes the same computation.
        constant: What is kept constant across optimiser steps. ``clips``: the number of clips.
            ``tokens``: batches at scales that cost more than ``data.num_frames`` and
            ``data.frame_size`` keep fewer videos, at least one; the others are dropped until
            another epoch.

    Raises:
        ValueError: If a list is empty or contains a number that is not positive.
    """

    num_frames: list[int] | None = None
    frame_sizes: list[int] | None = None
    grid_sizes: list[int] | None = None
    lengths: Literal["uniform", "inverse"] = "uniform"
    constant: Literal["clips", "tokens"] = "clips"

    @property
    def anything(self) -> bool:
        """Whether anything is drawn at random."""
        return any((self.num_frames, self.frame_sizes, self.grid_sizes))

    def __post_init__(self) -> None:
        for name in ("num_frames", "frame_sizes", "grid_sizes"):
            values = getattr(self, name)
            if values is not None and (not values or min(values) < 1):
                raise ValueError(
                    f"data.flexible.{name} is {values}; it must be null or a list of positive "
                    "numbers."
                )


@dataclass(frozen=True, kw_only=True)
class ScaleDraws:
    """The draws of one training.

    Args:
        scales: The distribution of scales.
        num_frames: ``data.num_frames``.
        frame_size: ``data.frame_size``.
        patch_size: Side of the model's own patches, in pixels.
        grid_size: Rows and columns of patches if the model fixes them, else ``None``.
        seed: Seed of the draws.

    Raises:
        ValueError: If frames of some size cannot be cut into patches.
    """

    scales: FlexibleScales
    num_frames: int
    frame_size: int
    patch_size: int
    grid_size: int | None
    seed: int = 0

    def __post_init__(self) -> None:
        grids = self.scales.grid_sizes
        for size in self._frame_sizes:
            if grids:
                if not self._grids(size):
                    raise ValueError(
                        f"Frames of {size} pixels cannot be cut into any grid of "
                        f"data.flexible.grid_sizes ({grids}); add a grid size that divides {size}, "
                        f"or remove {size} from data.flexible.frame_sizes."
                    )
            elif size % (self.grid_size or self.patch_size):
                into = (
                    f"{self.grid_size} x {self.grid_size} patches"
                    if self.grid_size
                    else f"patches of {self.patch_size} pixels"
                )
                raise ValueError(
                    f"Frames of {size} pixels (data.flexible.frame_sizes) cannot be cut into "
                    f"{into}; give multiples of {self.grid_size or self.patch_size}, such as a "
                    "preset in configs/flexible for this backbone."
                )

    def at(self, step: int) -> Scale:
        """Return the scale of an optimiser step.

        Args:
            step: Number of preceding optimiser steps in the training.
        """
        draw = generator("scale", self.seed, step)
        shares = torch.tensor(self._shares, dtype=torch.float64)
        length = self._lengths[int(torch.multinomial(shares, 1, generator=draw))]
        size = _pick(self._frame_sizes, draw)
        grids = self._grids(size)
        return self._scale(length, size, _pick(grids, draw) if grids else None)

    def outcomes(self) -> Iterator[tuple[Scale, float]]:
        """List all possible scales with their probabilities."""
        for length, share in zip(self._lengths, self._shares, strict=True):
            for size in self._frame_sizes:
                grids: list[int | None] = [*self._grids(size)] or [None]
                for grid in grids:
                    probability = share / len(self._frame_sizes) / len(grids)
                    yield self._scale(length, size, grid), probability

    def means(self, batch_size: int) -> dict[str, float]:
        """Return the averages of the draws, as plain values.

        Args:
            batch_size: Videos in a micro-batch.

        Returns:
            Frames per clip, pixels per side, videos per micro-batch, and the tokens of a
            micro-batch relative to those without draws.
        """
        means = dict.fromkeys(("frames", "frame_size", "videos_per_batch", "tokens"), 0.0)
        for scale, probability in self.outcomes():
            videos = self.num_videos(scale, batch_size)
            tokens = scale.cost * videos / batch_size
            values = (scale.num_frames, scale.frame_size, videos, tokens)
            for name, value in zip(means, values, strict=True):
                means[name] += probability * value
        return means

    def num_videos(self, scale: Scale, batch_size: int) -> int:
        """Return how many videos of a batch are kept at a scale.

        Args:
            scale: The scale.
            batch_size: Videos in the batch.
        """
        if self.scales.constant == "clips":
            return batch_size
        return max(1, int(batch_size / max(1.0, scale.cost)))

    @property
    def _lengths(self) -> list[int]:
        return self.scales.num_frames or [self.num_frames]

    @property
    def _shares(self) -> list[float]:
        """Return the probability of every length."""
        inverse = self.scales.lengths == "inverse"
        weights = [1 / length if inverse else 1.0 for length in self._lengths]
        return [weight / sum(weights) for weight in weights]

    @property
    def _frame_sizes(self) -> list[int]:
        return self.scales.frame_sizes or [self.frame_size]

    def _grids(self, size: int) -> list[int]:
        return [grid for grid in self.scales.grid_sizes or () if size % grid == 0]

    def _scale(self, num_frames: int, size: int, drawn_grid: int | None) -> Scale:
        def grid(frame_size: int) -> float:
            return self.grid_size or frame_size / self.patch_size

        ratio = (drawn_grid or grid(size)) / grid(self.frame_size)
        return Scale(
            num_frames,
            size,
            cost=num_frames / self.num_frames * ratio**2,
            patch_size=size // drawn_grid if drawn_grid else None,
        )


@dataclass(frozen=True, kw_only=True)
class StepScales:
    """The scale of each request of a rank.

    Args:
        draws: The scale of every optimiser step.
        requests_per_batch: Requests of a rank that make up one micro-batch.
        batches_per_epoch: Micro-batches of a rank per epoch.
        accumulation: Micro-batches per optimiser step; the last step of an epoch may have fewer.
    """

    draws: ScaleDraws
    requests_per_batch: int
    batches_per_epoch: int
    accumulation: int

    def at(self, epoch: int, position: int) -> Scale:
        """Return the scale of a request.

        Args:
            epoch: Epoch, counted from 0.
            position: Number of preceding requests of this rank in the epoch.
        """
        steps_per_epoch = -(-self.batches_per_epoch // self.accumulation)
        step = position // self.requests_per_batch // self.accumulation
        return self.draws.at(epoch * steps_per_epoch + step)


def scaled_resize(resize: Resize, *, old: int, new: int) -> Resize:
    """Scale the size of frames before cropping along with the crops, so that they show the same.

    Args:
        resize: Length of the shorter side, or height and width, that suits crops of ``old``.
        old: Side of the square crops, in pixels.
        new: Side of the crops to be taken.

    Returns:
        The size for crops of ``new``, in the form of ``resize``.
    """
    if isinstance(resize, int):
        return max(new, round(resize * new / old))
    height, width = (max(new, round(side * new / old)) for side in resize)
    return height, width


def _pick(values: list[int], draw: torch.Generator) -> int:
    return values[int(torch.randint(len(values), (), generator=draw))]
