"""What a trained PKS^4 module sees in a clip: displacements, changes, and its step sizes.

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
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.kinematic_prior import CorrelationOperator
from pks4_lightning.models.scanner import KS4Scanner
from pks4_lightning.ops.correlation import local_correlation
from pks4_lightning.ops.variation import temporal_variation
from pks4_lightning.pictures.style import COLOURS, new_figure

__all__ = ["MotionMaps", "motion_figure", "motion_maps"]

_INCHES = 1.25
_MAP_COLOURS = "cividis"  # made for people with colour vision deficiencies, and for grey printing


@dataclass(frozen=True, eq=False)
class MotionMaps:
    """What one forward pass computed inside the PKS^4 module."""

    displacement: Float[np.ndarray, "B T Y X 2"]
    """Where each patch is found in the next frame: patches down and to the right, the position of
    the highest correlation. Zero in the last frame, and where no position is better than its
    own."""
    variation: Float[np.ndarray, "B T Y X"]
    """Length of the difference to the next frame's features; zero in the last frame."""
    step_size: Float[np.ndarray, "B T Y X"]
    """The scanner's step size, the mean of its channels: how much of the past a frame replaces."""


@torch.no_grad()
def motion_maps(classifier: PKS4Classifier, video: Float[Tensor, "B C T H W"]) -> MotionMaps:
    """Run a classifier and keep what its PKS^4 module sees.

    Args:
        classifier: With both prior operators, in evaluation mode.
        video: Clips as the model sees them, on its device.

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
    num_clips, num_frames = video.shape[0], video.shape[2]
    kept = _keep_outputs(classifier, video, (correlation.reduce, variation.reduce, scanner.x_proj))
    compared, subtracted = (features.unflatten(0, (num_clips, num_frames)) for features in kept[:2])
    rows, columns = compared.shape[-2:]
    steps = _step_size(scanner, kept[2]).unflatten(2, (rows, columns))
    return MotionMaps(
        displacement=_displacement(correlation, compared).cpu().numpy(),
        variation=_change(subtracted).cpu().numpy(),
        step_size=steps.cpu().numpy(),
    )


def motion_figure(
    frames: UInt8[np.ndarray, "T H W C"], maps: MotionMaps, *, clip: int = 0, title: str = ""
) -> Figure:
    """Draw a clip's frames above what the module sees in them, time from left to right.

    Args:
        frames: RGB.
        maps: Of a batch that holds the clip.
        clip: Which clip of the batch.
        title: Above the picture.

    Returns:
        The picture: frames with displacements as arrows, changes, and step sizes.
    """
    num_frames = len(frames)
    figure = new_figure(_INCHES * num_frames + 1.2, 3 * _INCHES + 0.6)
    figure.set_layout_engine("constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(3, num_frames, squeeze=False)
    for time, frame in enumerate(frames):
        grid[0, time].imshow(frame, extent=(0, 1, 1, 0))
        _draw_arrows(grid[0, time], maps.displacement[clip, time])
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


def _keep_outputs(
    classifier: PKS4Classifier, video: Tensor, modules: tuple[nn.Module, ...]
) -> list[Tensor]:
    """Run the classifier and return what some of its modules computed."""
    kept: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _args: Any, output: Tensor) -> None:
        kept[module] = output.float()

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        classifier(video)
    finally:
        for handle in handles:
            handle.remove()
    return [kept[module] for module in modules]


def _displacement(operator: CorrelationOperator, features: Tensor) -> Tensor:
    """Find every patch in the next frame: B T Y X 2."""
    side = operator.window_size
    scores = local_correlation(features, offsets=[1], window_size=side)[:, :, 0]
    scores = scores.clone()
    scores[:, :, side**2 // 2] += torch.finfo(scores.dtype).eps  # no displacement wins a tie
    best = scores.argmax(dim=2)
    return torch.stack([best // side - side // 2, best % side - side // 2], dim=-1).float()


def _change(features: Tensor) -> Tensor:
    """Measure every patch's difference to the next frame: B T Y X."""
    return temporal_variation(features, offsets=[1])[:, :, 0].norm(dim=2)


def _step_size(scanner: KS4Scanner, projected: Tensor) -> Tensor:
    """Return the mean step size of every frame and patch (Equation 22)."""
    low_rank = projected[..., : scanner.dt_rank]
    delta = F.linear(low_rank, scanner.dt_proj.weight.float(), scanner.dt_proj.bias.float())
    return F.softplus(delta).mean(-1)


def _draw_arrows(axes: Axes, displacement: np.ndarray) -> None:
    """Draw each patch's way to the next frame, from its centre, to scale."""
    rows, columns = displacement.shape[:2]
    y, x = np.mgrid[:rows, :columns]
    down, right = displacement[..., 0] / rows, displacement[..., 1] / columns
    moves = displacement.any(axis=-1)
    axes.quiver(
        ((x + 0.5) / columns)[moves],
        ((y + 0.5) / rows)[moves],
        right[moves],
        down[moves],
        color=COLOURS[1],
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.012,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(1, 0)
