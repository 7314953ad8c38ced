"""Draw accuracy over clip length and resolution, one map per model."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pks4_lightning.pictures.style import new_figure, written

__all__ = ["heat_map_figure"]

_MOST_COLUMNS = 4
_DARK = 0.55


def heat_map_figure(
    maps: Mapping[str, np.ndarray],
    *,
    frames: Sequence[int],
    resolutions: Sequence[int],
    marked: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Draw top-1 accuracy on a grid; for exactly two models, also the difference.

    Args:
        maps: By name, with one row per length and one column per resolution, as shares; NaN for
            unknown cells.
        frames: The lengths.
        resolutions: The frame sizes, in pixels.
        marked: Frames and resolution of cells to be framed, such as those of the training.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no map.
    """
    if not maps:
        raise ValueError("A picture of accuracies needs at least one model, got none.")
    shown = dict(maps)
    if len(maps) == 2:
        (first, one), (second, other) = maps.items()
        shown[f"{first} - {second}"] = one - other
    columns = min(_MOST_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height = 1.0 + 0.52 * len(resolutions), 1.0 + 0.34 * len(frames)
    figure = new_figure(columns * width, rows * height)
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    places = [(frames.index(f), resolutions.index(r)) for f, r in marked]
    for axes, (name, values) in zip(all_axes, shown.items(), strict=False):
        _draw(axes, values, is_difference=name not in maps)
        for row, column in places:
            axes.plot(column, row, marker="s", ms=26, mfc="none", mec="black", mew=1.2)
        axes.set_title(written(name, most=int(12 * width)), loc="left", fontsize=10)
        axes.set_xticks(range(len(resolutions)), [str(each) for each in resolutions])
        axes.set_yticks(range(len(frames)), [str(each) for each in frames])
        axes.set_xlabel("frame size (pixels)", fontsize=8)
        axes.set_ylabel("frames", fontsize=8)
    for axes in all_axes[len(shown) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Axes, values: np.ndarray, *, is_difference: bool) -> None:
    """Colour the cells and write the percentage into each."""
    low = -1.0 if is_difference else 0.0
    axes.imshow(values, cmap="RdBu" if is_difference else "viridis", vmin=low, vmax=1.0)
    for (row, column), value in np.ndenumerate(values):
        is_dark = abs(value) > _DARK if is_difference else value < _DARK
        text = "" if np.isnan(value) else f"{100 * value:+.0f}" if is_difference else f"{value:.0%}"
        axes.text(
            column,
            row,
            text.rstrip("%"),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if is_dark else "black",
        )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
