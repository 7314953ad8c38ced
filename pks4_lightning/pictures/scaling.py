"""Draw how cost grows with the length and the resolution of a clip."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from pks4_lightning.pictures.style import COLOURS, DASHES, MARKERS, new_figure, plain_axes

__all__ = ["scaling_figure"]

_AXES = ("frames", "pixels")


def scaling_figure(
    lengths: Mapping[str, Sequence[int]], sizes: Mapping[str, Sequence[int]], *, crossover: float
) -> Figure:
    """Draw operations over clip length and over frame size.

    Args:
        lengths: ``frames``, ``pixels`` and the operations of each part, point by point.
        sizes: The same, over ``pixels``.
        crossover: Number of frames above which attention along time costs more than the scanner.

    Returns:
        The figure, with logarithmic axes: a straight line is a power law.
    """
    figure = new_figure(9.0, 4.2)
    over_length, over_size = figure.subplots(1, 2, sharey=True)
    _draw(over_length, lengths, "frames")
    _draw(over_size, sizes, "pixels")
    over_length.set_title(
        f"{lengths['pixels'][0]} px; KS4 = temporal attention at {crossover:,.0f} frames",
        loc="left",
        fontsize=10,
    )
    over_size.set_title(f"{sizes['frames'][0]} frames", loc="left", fontsize=10)
    over_length.set_ylabel("GFLOPs per view, multiply-adds")
    handles, names = over_length.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, curves: Mapping[str, Sequence[int]], along: str) -> None:
    places = curves[along]
    for style, name in enumerate(name for name in curves if name not in _AXES):
        axes.plot(
            places,
            [count / 1e9 for count in curves[name]],
            color=COLOURS[style],
            linestyle=DASHES[style],
            marker=MARKERS[style],
            ms=4,
            lw=1.4,
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(places)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("frames" if along == "frames" else "frame size (pixels)")
    plain_axes(axes)
