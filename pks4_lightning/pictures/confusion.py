"""Draw confusion matrices.

Dimensions:
    K: classes
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from pks4_lightning.pictures.style import new_figure, written

__all__ = ["confusion_matrix_figure"]

_MOST_LABELS = 40
_MOST_NUMBERS = 16
_LINE_LENGTH = 32
_NAME_SIZE = 7
_LEAST_SIDE = 3.0  # inches, like all lengths below
_TICKS = 0.45  # between names and axes, and for the title of the axis


def confusion_matrix_figure(
    counts: Int[np.ndarray, "K K"], label_names: Sequence[str], *, with_all_names: bool = False
) -> Figure:
    """Draw a confusion matrix, each row as shares of its true class.

    Args:
        counts: Videos per true class (row) and predicted class (column).
        label_names: Names in label order. They are shown for up to 40 classes, shares for up to 16.
        with_all_names: With more classes, number the columns and write number and name beside the
            rows, in small type for a screen: 400 classes are about 5,000 pixels wide.

    Returns:
        The figure; the row of a class without videos is empty.

    Raises:
        ValueError: If there is not exactly one name per class.
    """
    num_classes = len(counts)
    if len(label_names) != num_classes:
        raise ValueError(
            f"A confusion matrix of {num_classes} classes needs as many names, "
            f"got {len(label_names)}."
        )
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    if num_classes <= _MOST_LABELS:
        names = [_fold(name) for name in label_names]
        room = _TICKS + max(_width(line) for name in names for line in name.splitlines() or [""])
        figure, axes, scale = _framed(0.4 * num_classes, left=room, below=room)
        axes.set_xticks(range(num_classes), names, rotation=90, fontsize=_NAME_SIZE)
        axes.set_yticks(range(num_classes), names, fontsize=_NAME_SIZE)
    elif with_all_names:
        figure, axes, scale = _framed(0.1 * num_classes, left=3.2, below=0.8)
        names = [f"{_cut(name)}  {k}" for k, name in enumerate(label_names)]
        axes.set_xticks(range(num_classes), map(str, range(num_classes)), rotation=90, fontsize=5)
        axes.set_yticks(range(num_classes), names, fontsize=5)
    else:
        figure, axes, scale = _framed(0.035 * num_classes, left=0.8, below=0.8)
    image = axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    figure.colorbar(image, cax=scale, label="share of the true class", format="{x:.0%}")
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    if num_classes <= _MOST_NUMBERS:
        _write_shares(axes, shares)
    return figure


def _framed(side: float, *, left: float, below: float) -> tuple[Figure, Axes, Axes]:
    """Create square axes with room for names on two sides, and axes for a scale on the right.

    Sizes are computed by hand: a layout engine cuts off long names, and takes half a minute for
    400 of them.
    """
    side = max(side, _LEAST_SIDE)
    width, height = left + side + 1.0, below + side + 0.15
    figure = new_figure(width, height, arranged=False)
    square = figure.add_axes((left / width, below / height, side / width, side / height))
    scale_height = min(side, 2 * _LEAST_SIDE)
    scale = figure.add_axes(
        ((left + side + 0.15) / width, below / height, 0.15 / width, scale_height / height)
    )
    return figure, square, scale


def _write_shares(axes: Axes, shares: np.ndarray) -> None:
    """Write each share above zero into its cell, in a colour that contrasts with the cell."""
    for row, column in zip(*np.nonzero(np.nan_to_num(shares)), strict=True):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{share:.0%}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share > 0.5 else "black",
        )


def _fold(name: str) -> str:
    """Break a long name into two lines and truncate the rest."""
    lines = textwrap.wrap(name, _LINE_LENGTH, max_lines=2, placeholder=" …")
    return "\n".join(map(written, lines))


def _width(line: str) -> float:
    """Return the width of a line of a name."""
    return float(TextPath((0, 0), line, size=_NAME_SIZE).get_extents().width) / 72 if line else 0.0


def _cut(name: str) -> str:
    """Truncate a name to one long line."""
    return written(name, most=2 * _LINE_LENGTH)
