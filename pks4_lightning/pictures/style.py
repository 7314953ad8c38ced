"""Colours and marks that every picture shares; told apart without colour too."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["COLOURS", "DASHES", "MARKERS", "RIGHT", "WRONG", "new_figure"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, which people with colour vision deficiencies tell apart."""
DASHES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
RIGHT, WRONG = "✓", "✗"


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that needs no display.

    Args:
        width: In inches.
        height: In inches.

    Returns:
        An empty figure, unknown to pyplot, so that nobody has to close it.
    """
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure
