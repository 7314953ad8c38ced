"""Draw what a trained PKS^4 module computes for a clip: displacements, changes and step sizes.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Equations 15, 17 and 22.

Dimensions:
    B: clips
    C: RGB
    T: frames
    H, W: pixels
    Y, X: patch grid, rows and columns
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.scanner import KS4Scanner
from pks4_lightning.pictures.priors import compare_frames, draw_displacements, keep_outputs
from pks4_lightning.pictures.style import new_figure, written

__all__ = ["MotionMaps", "motion_figure", "motion_maps"]

_INCHES = 1.25
_MAP_COLOURS = "cividis"  # suits colour vision deficiencies and grey printing


@dataclass(frozen=True, eq=False)
class MotionMaps:
    """Quantities computed inside the PKS^4 module in one forward pass."""

    displacement: Float[np.ndarray, "B T Y X 2"]
    """Displacement of each patch to the next frame, in patches down and to the right: the position
    of the highest correlation. Zero in the last frame, and where no position is better than the
    centre."""
    variation: Float[np.ndarray, "B T Y X"]
    """Norm of the difference to the next frame's features; zero in the last frame."""
    step_size: Float[np.ndarray, "B T Y X"]
    """The scanner's step size, averaged over channels: how much of the past a frame replaces."""


@torch.no_grad()
def motion_maps(classifier: PKS4Classifier, video: Float[Tensor, "B C T H W"]) -> MotionMaps:
    """Run a classifier and return the quantities inside its PKS^4 module.

    Args:
        classifier: A classifier with both prior operators, in evaluation mode.
        video: Normalised clips, on its device.

    Raises:
        ValueError: If the classifier has no PKS^4 module with both prior operators and the KS4
            scanner.
    """
    encoder = classifier.pks4.prior_encoder if classifier.pks4 is not None else None
    if encoder is None or encoder.correlation is None or encoder.variation is None:
        raise ValueError(
            "Motion maps need a classifier whose PKS⁴ module has both the correlation and the "
            "variation operator."
        )
    assert classifier.pks4 is not None
    correlation, variation = encoder.correlation, encoder.variation
    scanner = classifier.pks4.scanner
    if not isinstance(scanner, KS4Scanner):
        raise ValueError("Motion maps show the KS4 scanner's step sizes: set scanner to mamba.")
    clips = (video.shape[0], video.shape[2])
    correlated, subtracted, projected = keep_outputs(
        classifier, video, (correlation.reduce, variation.reduce, scanner.x_proj)
    )
    priors = compare_frames(
        correlated.unflatten(0, clips),
        subtracted.unflatten(0, clips),
        window_size=correlation.window_size,
    )
    assert priors.variation is not None
    steps = _step_size(scanner, projected).unflatten(2, correlated.shape[-2:])
    return MotionMaps(
        displacement=priors.displacement,
        variation=priors.variation,
        step_size=steps.cpu().numpy(),
    )


def motion_figure(
    frames: UInt8[np.ndarray, "T H W C"], maps: MotionMaps, *, clip: int = 0, title: str = ""
) -> Figure:
    """Draw a clip's frames above the quantities computed for them, in time from left to right.

    Args:
        frames: RGB.
        maps: Maps of a batch that contains the clip.
        clip: Index of the clip in the batch.
        title: Title of the figure.

    Returns:
        The figure: frames with displacements as arrows, changes, and step sizes.
    """
    num_frames = len(frames)
    figure = new_figure(_INCHES * num_frames + 1.2, 3 * _INCHES + 0.6)
    figure.suptitle(written(title, most=120), x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(3, num_frames, squeeze=False)
    for time, frame in enumerate(frames):
        grid[0, time].imshow(frame, extent=(0, 1, 1, 0))
        draw_displacements(grid[0, time], maps.displacement[clip, time])
        grid[0, time].set_title(f"frame {time + 1}", fontsize=8)
    for row, (name, values) in enumerate(
        (("change", maps.variation[clip]), ("step size Δ", maps.step_size[clip])), start=1
    ):
        for axes, values_YX in zip(grid[row], values, strict=True):
            image = axes.imshow(values_YX, vmin=values.min(), vmax=values.max(), cmap=_MAP_COLOURS)
        figure.colorbar(image, ax=grid[row].tolist(), label=name, fraction=0.02)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _step_size(scanner: KS4Scanner, projected: Tensor) -> Tensor:
    """Return the mean step size of every frame and patch (Equation 22)."""
    low_rank = projected[..., : scanner.dt_rank]
    delta = F.linear(low_rank, scanner.dt_proj.weight.float(), scanner.dt_proj.bias.float())
    return F.softplus(delta).mean(-1)
