"""Colours and markers shared by all figures, distinguishable without colour."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "MARKERS", "RIGHT", "WRONG", "new_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""The palette of Okabe and Ito, which suits colour vision deficiencies."""
DASHES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
RIGHT, WRONG = "✓", "✗"


def new_figure(width: float, height: float) -> Figure:
    """Create a figure that needs no display.

    Args:
        width: In inches.
        height: In inches.

    Returns:
        An empty figure, not registered with pyplot, so that it need not be closed.
    """
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure
