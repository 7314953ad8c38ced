"""Which classes are taken for which.

Dimensions:
    K: classes
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pks4_lightning.pictures.style import new_figure

__all__ = ["confusion_matrix_figure"]

_MOST_LABELS = 40
_MOST_NUMBERS = 16
_LINE_LENGTH = 32


def confusion_matrix_figure(counts: Int[np.ndarray, "K K"], label_names: Sequence[str]) -> Figure:
    """Draw a confusion matrix, each row as shares of its true class.

    Args:
        counts: Videos per true class (row) and answer (column).
        label_names: In label order. They are written out up to 40 classes, and shares up to 16.

    Returns:
        The picture; a class without videos leaves its row empty.

    Raises:
        ValueError: If there is not one name for each class.
    """
    num_classes = len(counts)
    if len(label_names) != num_classes:
        raise ValueError(
            f"A confusion matrix of {num_classes} classes needs as many names, "
            f"got {len(label_names)}."
        )
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    labelled = num_classes <= _MOST_LABELS
    side = max((0.4 if labelled else 0.035) * num_classes, 3.0)
    room = 2.3 if labelled else 0.8
    figure = new_figure(side + room + 1.2, side + room)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0.0, vmax=1.0, cmap="Blues")
    figure.colorbar(
        image, ax=axes, label="share of the true class", fraction=0.04, format="{x:.0%}"
    )
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    if labelled:
        names = [_fold(name) for name in label_names]
        axes.set_xticks(range(num_classes), names, rotation=90, fontsize=7)
        axes.set_yticks(range(num_classes), names, fontsize=7)
    if num_classes <= _MOST_NUMBERS:
        _write_shares(axes, shares)
    return figure


def _write_shares(axes: Axes, shares: np.ndarray) -> None:
    """Write each share above zero into its cell, in ink that its colour lets show."""
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
    """Break a long name into two lines and cut what does not fit."""
    return "\n".join(textwrap.wrap(name, _LINE_LENGTH, max_lines=2, placeholder=" …"))
