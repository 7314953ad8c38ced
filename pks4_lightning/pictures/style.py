"""What all figures share: colours and markers that differ without colour, plain axes, files."""

from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pks4_lightning.files import atomic_write

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "RIGHT",
    "WRONG",
    "new_figure",
    "plain_axes",
    "save_figure",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""The palette of Okabe and Ito, which suits colour vision deficiencies."""
DASHES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
RIGHT, WRONG = "✓", "✗"


def new_figure(width: float, height: float, *, arranged: bool = True) -> Figure:
    """Create a figure that needs no display.

    Args:
        width: In inches.
        height: In inches.
        arranged: Let matplotlib arrange axes and titles so that none overlap; otherwise the caller
            places them.

    Returns:
        An empty figure, not registered with pyplot, so that it need not be closed.
    """
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained" if arranged else None)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, *, grid: Literal["x", "y", "both"] = "both") -> None:
    """Draw a light grid behind the data, and no frame above and on the right.

    Args:
        axes: The axes.
        grid: The axis whose values have grid lines.
    """
    axes.grid(axis=grid, color="0.9", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure atomically.

    Args:
        figure: The figure.
        path: The file; its suffix is the format.
    """
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished)
