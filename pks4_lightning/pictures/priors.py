"""Draw what a trained Kinematic Prior Encoder computes for a clip: displacements and changes.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Equations 15 and 17.

Dimensions:
    B: clips
    C: RGB
    T: frames
    M: width of the compared features
    H, W: pixels
    Y, X: patch grid, rows and columns
    V: side of the search window in patches
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.ops.correlation import local_correlation
from pks4_lightning.ops.variation import temporal_variation
from pks4_lightning.pictures.style import COLOURS, new_figure, written

__all__ = [
    "PriorMaps",
    "compare_frames",
    "draw_displacements",
    "has_priors",
    "keep_outputs",
    "prior_figure",
    "prior_maps",
]

_INCHES = 1.25
_CORRELATION_COLOURS, _VARIATION_COLOURS = "viridis", "inferno"
_OPACITY = 0.75
_GREY = (0.299, 0.587, 0.114)  # luma of BT.601


@dataclass(frozen=True, eq=False)
class PriorMaps:
    """Outputs of the prior operators for every frame of a clip and the next one.

    The last frame has no successor, so its maps are zero.
    """

    correlation: Float[np.ndarray, "B T Y X V V"] | None
    """Cosine of each patch with the patches of its search window in the next frame, centred on its
    own position; zero outside the frame. ``None`` without the operator."""
    variation: Float[np.ndarray, "B T Y X"] | None
    """Norm of each patch's difference to the next frame. ``None`` without the operator."""

    @property
    def displacement(self) -> Float[np.ndarray, "B T Y X 2"]:
        """Displacement of each patch to the next frame, in patches down and to the right.

        The position of the highest correlation; zero where no position is better than the centre.

        Raises:
            ValueError: If there are no correlations.
        """
        if self.correlation is None:
            raise ValueError("Displacements are read from correlations, and there are none.")
        side = self.correlation.shape[-1]
        scores = self.correlation.reshape(*self.correlation.shape[:-2], side**2).copy()
        scores[..., side**2 // 2] += np.finfo(scores.dtype).eps  # no displacement wins a tie
        best = scores.argmax(axis=-1)
        return np.stack([best // side - side // 2, best % side - side // 2], axis=-1).astype("f4")


def has_priors(classifier: nn.Module) -> bool:
    """Return whether a classifier has a prior operator that can be drawn.

    Args:
        classifier: Any classifier.
    """
    if not isinstance(classifier, PKS4Classifier) or classifier.pks4 is None:
        return False
    encoder = classifier.pks4.prior_encoder
    return encoder.correlation is not None or encoder.variation is not None


@torch.no_grad()
def prior_maps(classifier: PKS4Classifier, video: Float[Tensor, "B C T H W"]) -> PriorMaps:
    """Run a classifier and return the outputs of its prior operators.

    Args:
        classifier: A classifier with at least one prior operator, in evaluation mode.
        video: Normalised clips, on its device.

    Raises:
        ValueError: If the classifier has no prior operator.
    """
    if not has_priors(classifier):
        raise ValueError(
            "Prior maps need a classifier whose PKS⁴ module has the correlation or the variation "
            "operator."
        )
    assert classifier.pks4 is not None
    encoder = classifier.pks4.prior_encoder
    operators = [each for each in (encoder.correlation, encoder.variation) if each is not None]
    outputs = keep_outputs(classifier, video, [operator.reduce for operator in operators])
    clips = (video.shape[0], video.shape[2])
    features = {
        operator: output.unflatten(0, clips)
        for operator, output in zip(operators, outputs, strict=True)
    }
    return compare_frames(
        None if encoder.correlation is None else features[encoder.correlation],
        None if encoder.variation is None else features[encoder.variation],
        window_size=1 if encoder.correlation is None else encoder.correlation.window_size,
    )


def compare_frames(
    correlated: Float[Tensor, "B T M Y X"] | None,
    subtracted: Float[Tensor, "B T M Y X"] | None,
    *,
    window_size: int,
) -> PriorMaps:
    """Compare the features of every frame with those of the next one.

    Args:
        correlated: Input of the correlation operator's comparison, if there is one.
        subtracted: Input of the variation operator's comparison, if there is one.
        window_size: Side of the search window in patches, odd.
    """
    correlation = variation = None
    if correlated is not None:
        scores = local_correlation(correlated, offsets=[1], window_size=window_size)[:, :, 0]
        windows = scores.movedim(2, -1).unflatten(-1, (window_size, window_size))
        correlation = windows.float().cpu().numpy()
    if subtracted is not None:
        differences = temporal_variation(subtracted, offsets=[1])[:, :, 0]
        variation = differences.norm(dim=2).float().cpu().numpy()
    return PriorMaps(correlation, variation)


def keep_outputs(
    classifier: PKS4Classifier, video: Float[Tensor, "B C T H W"], modules: Sequence[nn.Module]
) -> list[Tensor]:
    """Run a classifier and return what some of its modules computed, in float32.

    Args:
        classifier: In evaluation mode.
        video: Normalised clips, on its device.
        modules: Modules, each of which runs once.
    """
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


def prior_figure(
    frames: UInt8[np.ndarray, "T H W C"],
    maps: PriorMaps,
    *,
    clip: int = 0,
    patch: tuple[int, int] | None = None,
    captions: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draw a clip's frames above the outputs of the priors, in time from left to right.

    Arrows show the displacement of patches to the next frame. Below, the search window of one patch
    in the next frame is coloured by similarity to that patch, which is framed in the row above; the
    last row shows how much each patch changes.

    Args:
        frames: RGB, at least two.
        maps: Maps of a batch that contains the clip.
        clip: Index of the clip in the batch.
        patch: Row and column of the patch whose window is shown. ``None``: the one that changes
            most in each frame or, without the variation operator, the centre.
        captions: Captions of the frames. ``None``: their numbers.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is nothing to compare: fewer than two frames, or no map.
    """
    if len(frames) < 2 or (maps.correlation is None and maps.variation is None):
        raise ValueError(
            f"A picture of the priors needs at least 2 frames and a map, got {len(frames)} frames."
        )
    num_rows = 1 + (maps.correlation is not None) + (maps.variation is not None)
    heading = 0.25 if title else 0.0
    figure = new_figure(_INCHES * len(frames), _INCHES * num_rows + 0.25 + heading)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    if title:
        figure.suptitle(written(title, most=120), x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(num_rows, len(frames), squeeze=False)
    for axes, frame, caption in zip(
        grid[0], frames, captions or [f"frame {t + 1}" for t in range(len(frames))], strict=True
    ):
        _show(axes, frame)
        axes.set_title(written(caption), fontsize=8)
    rows = iter(grid[1:])
    if maps.correlation is not None:
        watched = _watched(maps, clip, patch)
        for axes, displacement in zip(grid[0], maps.displacement[clip], strict=True):
            draw_displacements(axes, displacement)
        _draw_windows(figure, grid[0], next(rows), frames, maps.correlation[clip], watched)
    if maps.variation is not None:
        _draw_variation(figure, next(rows), frames, maps.variation[clip])
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return figure


def draw_displacements(axes: Axes, displacement: Float[np.ndarray, "Y X 2"]) -> None:
    """Draw the displacement of each patch to the next frame, from its centre, to scale.

    Args:
        axes: Axes that show the frame over the unit square.
        displacement: Patches down and to the right.
    """
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


def _watched(maps: PriorMaps, clip: int, patch: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Choose the patch whose window is shown, for every frame but the last."""
    assert maps.correlation is not None
    num_frames, rows, columns = maps.correlation.shape[1:4]
    if patch is not None or maps.variation is None:
        return [patch or (rows // 2, columns // 2)] * (num_frames - 1)
    most = maps.variation[clip].reshape(num_frames, -1).argmax(axis=-1)
    return [divmod(int(place), columns) for place in most[:-1]]


def _draw_windows(
    figure: Figure,
    frame_axes: np.ndarray,
    row: np.ndarray,
    frames: UInt8[np.ndarray, "T H W C"],
    correlation: Float[np.ndarray, "T Y X V V"],
    watched: Sequence[tuple[int, int]],
) -> None:
    """Frame a patch in each frame, and colour its window in the next one."""
    rows, columns, side = correlation.shape[1:4]
    fields = []
    for t, (y, x) in enumerate(watched):
        field = np.full((rows, columns), np.nan)
        top, left = y - side // 2, x - side // 2
        inside = np.s_[max(top, 0) : top + side, max(left, 0) : left + side]
        height, width = field[inside].shape
        first = (max(-top, 0), max(-left, 0))
        field[inside] = correlation[
            t, y, x, first[0] : first[0] + height, first[1] : first[1] + width
        ]
        fields.append(field)
        corner = (x / columns, y / rows)
        frame_axes[t].add_patch(
            Rectangle(corner, 1 / columns, 1 / rows, fill=False, ec="white", lw=1.4)
        )
        row[t].add_patch(Rectangle(corner, 1 / columns, 1 / rows, fill=False, ec="white", lw=1.4))
    low, high = np.nanmin(fields), np.nanmax(fields)
    for axes, frame, field in zip(row, frames[1:], fields, strict=False):
        image = _show(axes, frame, field, low, high, _CORRELATION_COLOURS)
    _draw_legend(figure, row[-1], image, "correlation with\nthe framed patch")


def _draw_variation(
    figure: Figure,
    row: np.ndarray,
    frames: UInt8[np.ndarray, "T H W C"],
    variation: Float[np.ndarray, "T Y X"],
) -> None:
    """Colour the patches of every frame but the last by how much they change."""
    for axes, frame, values in zip(row[:-1], frames, variation, strict=False):
        image = _show(axes, frame, values, 0.0, variation.max(), _VARIATION_COLOURS)
    _draw_legend(figure, row[-1], image, "variation to\nthe next frame")


def _draw_legend(figure: Figure, axes: Axes, image: AxesImage, label: str) -> None:
    """Draw the colour scale in the place of the last frame, which has no map."""
    axes.set_axis_off()
    bar = figure.colorbar(image, cax=axes.inset_axes((0.06, 0.05, 0.08, 0.9)))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)


def _show(
    axes: Axes,
    frame: UInt8[np.ndarray, "H W C"],
    values: Float[np.ndarray, "Y X"] | None = None,
    low: float = 0.0,
    high: float = 1.0,
    colours: str = "",
) -> AxesImage:
    """Show a frame over the unit square, in grey below a map, if there is one."""
    square = (0, 1, 1, 0)
    if values is None:
        return axes.imshow(frame, extent=square)
    axes.imshow(frame @ np.array(_GREY), cmap="gray", vmin=0, vmax=255, extent=square)
    return axes.imshow(
        values, vmin=low, vmax=high, cmap=colours, alpha=_OPACITY, extent=square,
        interpolation="nearest",
    )  # fmt: skip
