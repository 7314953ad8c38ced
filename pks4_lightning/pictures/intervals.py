"""Accuracies with their confidence intervals: a line for each, or over a quantity."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from matplotlib.figure import Figure

from pks4_lightning.pictures.style import COLOURS, DASHES, MARKERS, new_figure, plain_axes, written

__all__ = ["Bar", "interval_curves", "interval_figure"]


class Bar(NamedTuple):
    """A mean and the ends of its interval, shares from 0 to 1."""

    name: str
    mean: float
    low: float
    high: float


def interval_figure(bars: Sequence[Bar], *, title: str, chance: float | None = None) -> Figure:
    """Draw accuracies below each other, with their intervals.

    Args:
        bars: From top to bottom.
        title: Title of the figure.
        chance: Chance accuracy, drawn as a dashed line.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not bars:
        raise ValueError("A picture of intervals needs at least one of them, got none.")
    figure = new_figure(8.0, 1.3 + 0.36 * len(bars))
    axes = figure.subplots()
    places = range(len(bars))
    means, ends = _percents(bars)
    axes.errorbar(means, places, xerr=ends, fmt="o", color=COLOURS[0], capsize=3, lw=1.4)
    for place, mean in zip(places, means, strict=True):
        axes.annotate(
            f"{mean:.1f}", (mean, place), xytext=(0, 5), textcoords="offset points", ha="center",
            fontsize=8,
        )  # fmt: skip
    if chance is not None:
        axes.axvline(100.0 * chance, color="0.5", ls="--", lw=1.0)
        axes.annotate(
            "chance", (100.0 * chance, 0.0), xycoords=("data", "axes fraction"), xytext=(3, 3),
            textcoords="offset points", fontsize=8, color="0.4",
        )  # fmt: skip
    axes.set_yticks(places, [written(bar.name) for bar in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.4, -0.6)  # from top to bottom, with room for the numbers
    axes.set_xlim(0.0, 102.0)
    axes.set_xlabel("top-1 (%), with 95 % intervals over clips and seeds")
    axes.set_title(written(title, most=120), loc="left", fontsize=10)
    plain_axes(axes, grid="x")
    return figure


def interval_curves(
    curves: Mapping[str, Sequence[Bar]],
    *,
    at: Sequence[float],
    title: str,
    quantity: str,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Draw accuracies as a function of a quantity, one curve with intervals per model.

    Args:
        curves: By model, with one bar per value of the quantity.
        at: The values, increasing.
        title: Title of the figure.
        quantity: Name of the quantity, with its unit.
        levels: Reference accuracies, by label.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not curves or not at:
        raise ValueError("A picture of curves needs at least one of them, got none.")
    figure = new_figure(8.0, 4.2)
    axes = figure.subplots()
    step = min((after - before for before, after in pairwise(at)), default=1.0)
    for number, (name, bars) in enumerate(curves.items()):
        # shifted sideways, so that no interval hides another
        aside = 0.05 * step * (number - (len(curves) - 1) / 2.0)
        means, ends = _percents(bars)
        look = number % len(COLOURS)
        axes.errorbar(
            [value + aside for value in at], means, yerr=ends, capsize=2, lw=1.2, ms=4,
            label=written(name),
            color=COLOURS[look], ls=DASHES[look], marker=MARKERS[look],
        )  # fmt: skip
    for meaning, level in (levels or {}).items():
        axes.axhline(100.0 * level, color="0.5", ls=":", lw=1.0)
        axes.annotate(
            written(meaning), (1.0, 100.0 * level), xycoords=("axes fraction", "data"),
            xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8, color="0.4",
        )  # fmt: skip
    axes.set_xticks(at, [f"{value:g}" for value in at])
    axes.set_ylim(0.0, 102.0)
    axes.set_xlabel(written(quantity))
    axes.set_ylabel("top-1 (%), with 95 % intervals")
    axes.set_title(written(title, most=120), loc="left", fontsize=10)
    plain_axes(axes, grid="y")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _percents(bars: Sequence[Bar]) -> tuple[list[float], list[list[float]]]:
    """Return the means in %, and the lengths of the error bars below and above them."""
    means = [100.0 * bar.mean for bar in bars]
    below = [100.0 * (bar.mean - max(bar.low, 0.0)) for bar in bars]
    above = [100.0 * (min(bar.high, 1.0) - bar.mean) for bar in bars]
    return means, [below, above]
