"""Draw the classes of a video over time.

Dimensions:
    M: moments, each with scores of its own
    K: classes
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pks4_lightning.pictures.style import COLOURS, new_figure, written

__all__ = ["TimelineSegment", "timeline_figure"]

_MOST_CLASSES = 12
_LONGEST_NAME, _LONGEST_TITLE = 52, 120
_WIDTH = 11.0
_SMALLEST_SHARE = 0.009
"""Share of the time axis per character of a name that is written into its segment."""


class TimelineSegment(Protocol):
    """A part of a video with one label."""

    @property
    def start(self) -> float:
        """Seconds."""

    @property
    def end(self) -> float:
        """Seconds."""

    @property
    def label(self) -> int:
        """Class."""


def timeline_figure(
    edges: Float[np.ndarray, " M+1"],
    scores: Float[np.ndarray, "M K"],
    segments: Sequence[TimelineSegment],
    *,
    names: Sequence[str],
    title: str,
) -> Figure:
    """Draw segments as a bar, and below it the scores of the relevant classes.

    Classes are listed in the order in which they become the label, followed by others with a high
    score, at most twelve in total.

    Args:
        edges: Start of each moment, and the end of the last one, in seconds.
        scores: Scores of every moment, 0 to 1.
        segments: The segments into which the scores were merged.
        names: Names of the classes.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no moment.
    """
    if not len(scores):
        raise ValueError("A picture of a timeline needs at least one moment, got none.")
    classes = _classes_shown(scores, segments)
    figure = new_figure(_WIDTH, 1.6 + 0.3 * len(classes))
    bar, maps = figure.subplots(2, 1, sharex=True, height_ratios=[1.2, len(classes)])
    colours = {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(classes)}
    _draw_segments(bar, segments, colours, names, end=float(edges[-1]))
    mesh = maps.pcolormesh(
        edges, np.arange(len(classes) + 1), scores[:, classes].T,
        cmap="viridis", vmin=0.0, vmax=1.0, rasterized=True,
    )  # fmt: skip
    maps.set_yticks(np.arange(len(classes)) + 0.5, [_name(names[label]) for label in classes])
    for tick, label in zip(maps.get_yticklabels(), classes, strict=True):
        tick.set_color(colours[label])
    maps.invert_yaxis()
    maps.spines[:].set_visible(False)
    maps.tick_params(axis="y", length=0, labelsize=8)
    maps.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 3, 5, 6, 10]))
    maps.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _clock(seconds)))
    maps.set_xlabel("time", fontsize=9)
    figure.colorbar(mesh, ax=maps, label="score", pad=0.01, aspect=8 + 2 * len(classes))
    figure.suptitle(written(title, most=_LONGEST_TITLE), x=0.01, ha="left", fontsize=10)
    return figure


def _classes_shown(
    scores: Float[np.ndarray, "M K"], segments: Sequence[TimelineSegment]
) -> list[int]:
    """Return the labels in order of appearance, then other classes with high scores."""
    labels = list(dict.fromkeys(segment.label for segment in segments))
    others = [k for k in np.argsort(-scores.max(axis=0)).tolist() if k not in labels]
    close = [k for k in others if scores[:, k].max() >= 0.1]
    return (labels + close)[: max(_MOST_CLASSES, 1)]


def _draw_segments(
    axes: Axes,
    segments: Sequence[TimelineSegment],
    colours: dict[int, str],
    names: Sequence[str],
    *,
    end: float,
) -> None:
    for segment in segments:
        width = segment.end - segment.start
        colour = colours.get(segment.label, "#999999")
        axes.barh(
            0.5, width, left=segment.start, height=1.0, color=colour, edgecolor="white", lw=0.8
        )
        name = _name(names[segment.label])
        if width / end > _SMALLEST_SHARE * len(name):
            axes.text(
                segment.start + width / 2, 0.5, name,
                ha="center", va="center", fontsize=8, color="white", clip_on=True,
            )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _name(name: str) -> str:
    return written(name, most=_LONGEST_NAME)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    rest_text = f"{rest:02.0f}" if rest == int(rest) else f"{rest:05.2f}".rstrip("0")
    return f"{hours}:{minutes:02}:{rest_text}" if hours else f"{minutes}:{rest_text}"
