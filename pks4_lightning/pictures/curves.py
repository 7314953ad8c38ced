"""Draw learning curves.

Dimensions:
    M: points of a curve
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pks4_lightning.pictures.style import COLOURS, DASHES, MARKERS, new_figure, plain_axes, written

__all__ = ["Curve", "RunCurves", "learning_curves"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity over a training."""

    epochs: Float[np.ndarray, " M"]
    """Time of each measurement in epochs; 1.0 is the end of the first epoch."""
    values: Float[np.ndarray, " M"]


@dataclass(frozen=True, eq=False)
class RunCurves:
    """The curves logged by one training."""

    train_loss: Curve
    val_top1: Curve
    """Accuracies, 0 to 1."""


def learning_curves(
    runs: Mapping[str, Sequence[RunCurves]],
    *,
    loss_marks: Mapping[str, float] | None = None,
    top1_marks: Mapping[str, float] | None = None,
) -> Figure:
    """Draw training loss and validation top-1 of several models side by side.

    Args:
        runs: By model, one training per seed; trainings of a model share colour and line style.
        loss_marks: Reference levels of the loss, by label.
        top1_marks: Reference levels of top-1, 0 to 1, by label.

    Returns:
        The figure. The loss is smoothed over a twentieth of the run.

    Raises:
        ValueError: If no model has a training.
    """
    if not any(runs.values()):
        raise ValueError(f"Learning curves need at least one training, got {dict(runs)}.")
    figure = new_figure(9.0, 3.6)
    loss_axes, top1_axes = figure.subplots(1, 2)
    for place, (name, trainings) in enumerate(runs.items()):
        style = place % len(COLOURS)
        for training in trainings:
            loss = _smooth(training.train_loss)
            loss_axes.plot(
                loss.epochs, loss.values, color=COLOURS[style], linestyle=DASHES[style], lw=1.6
            )
            top1_axes.plot(
                training.val_top1.epochs,
                training.val_top1.values,
                color=COLOURS[style],
                linestyle=DASHES[style],
                marker=MARKERS[style],
                lw=1.6,
                label=written(name) if training is trainings[0] else None,
            )
    _mark(loss_axes, loss_marks or {})
    _mark(top1_axes, top1_marks or {})
    _label(loss_axes, "training loss")
    loss_axes.set_ylim(bottom=0.0)
    _label(top1_axes, "validation top-1")
    top1_axes.set_ylim(0.0, 1.05)
    top1_axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    top1_axes.legend(frameon=False, loc="lower right", fontsize=9)
    return figure


def _mark(axes: Axes, marks: Mapping[str, float]) -> None:
    """Draw reference levels as thin lines, with their labels below."""
    for meaning, level in marks.items():
        axes.axhline(level, color="0.4", lw=0.9, linestyle=":")
        axes.annotate(
            written(meaning),
            (0.99, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color="0.3",
        )


def _label(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("epoch")
    axes.set_xlim(left=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_axes(axes)


def _smooth(curve: Curve) -> Curve:
    """Average over neighbours, over fewer at both ends."""
    num = len(curve.values)
    half = num // 40
    sums = np.concatenate([[0.0], np.cumsum(curve.values)])
    begin = np.maximum(np.arange(num) - half, 0)
    end = np.minimum(np.arange(num) + half + 1, num)
    return Curve(curve.epochs, (sums[end] - sums[begin]) / (end - begin))
