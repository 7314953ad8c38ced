"""Merge scores of overlapping windows to segments with one label each.

Dimensions:
    N: windows, in the order of their starts
    M: moments
    K: classes
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pks4_lightning.ranges import check_at_least

__all__ = ["MARGIN", "Moments", "Segment", "check_margin", "find_moments", "find_segments"]

MARGIN = 0.1
"""How much higher another class must score to become the label, by default."""

# starts and ends are sums of strides, with rounding errors
_TOLERANCE = 1e-6


class Moments(NamedTuple):
    """A video divided at the starts and ends of windows, so that a moment lies in fixed windows."""

    edges: Float[np.ndarray, " M+1"]
    """Seconds from the video's first frame, increasing; moment ``m`` begins at ``edges[m]``."""
    scores: Float[np.ndarray, "M K"]
    """Weighted mean over the windows that contain the moment."""

    def at(self, seconds: float) -> Float[np.ndarray, " K"]:
        """Return the scores of the moment at a time.

        Args:
            seconds: Time from the video's first frame; after the end, the last moment is used.
        """
        moment = int(np.searchsorted(self.edges, seconds + _TOLERANCE, side="right")) - 1
        return self.scores[min(max(moment, 0), len(self.scores) - 1)]


class Segment(NamedTuple):
    """A part of a video with one label."""

    start: float
    """Seconds from the video's first frame."""
    end: float
    label: int
    score: float
    """Mean score of the label over the segment's time."""


def find_moments(
    spans: Sequence[tuple[float, float]],
    scores: Float[np.ndarray, "N K"],
    *,
    duration: float | None = None,
) -> Moments:
    """Average the scores of overlapping windows.

    A window around a cut shows two actions at once and may look like a third one; the other windows
    on each side of the cut outvote it. Windows are weighted by the distance of the moment from
    their centre, with the squared cosine that is usual for overlapping windows.

    Args:
        spans: Start and end of every window, in seconds, both increasing.
        scores: Scores of every window, such as probabilities.
        duration: End of the last moment, in seconds. ``None``: the end of the last window, which is
            that of the video unless windows are further apart than they are long.

    Returns:
        Moments without gaps; a time outside all windows gets the scores of the preceding window.
    """
    starts, ends = np.array(spans, dtype=np.float64).T
    edges = np.sort(np.concatenate([starts, ends, [duration or ends[-1]]]))
    edges = edges[np.concatenate([[True], np.diff(edges) > _TOLERANCE])]
    first = np.searchsorted(ends, edges[:-1] + _TOLERANCE, side="right")
    end = np.searchsorted(starts, edges[:-1] + _TOLERANCE, side="right")
    first = np.minimum(first, end - 1)
    centres, halves = (starts + ends) / 2, (ends - starts) / 2
    means = []
    for middle, a, b in zip((edges[:-1] + edges[1:]) / 2, first, end, strict=True):
        weights = np.cos(np.pi / 2 * (middle - centres[a:b]) / halves[a:b]) ** 2
        means.append(np.average(scores[a:b], axis=0, weights=weights if b - a > 1 else None))
    return Moments(edges, np.stack(means))


def check_margin(margin: float) -> None:
    """Check how much higher another class must score to become the label.

    Args:
        margin: A difference of scores.

    Raises:
        ValueError: If it is negative.
    """
    check_at_least(0, {"margin": margin})


def find_segments(moments: Moments, *, margin: float = MARGIN) -> list[Segment]:
    """Merge moments into segments, with hysteresis.

    The label of a moment is that of the preceding one unless another class scores more than
    ``margin`` higher, so that two classes with similar scores do not alternate.

    Args:
        moments: From :func:`find_moments`.
        margin: How much higher another class must score to become the label, 0 or more.

    Returns:
        Segments without gaps or overlaps, in their order.

    Raises:
        ValueError: If ``margin`` is negative.
    """
    check_margin(margin)
    labels: list[int] = []
    for row in moments.scores:
        best = int(row.argmax())
        stays = labels and row[best] <= row[labels[-1]] + margin
        labels.append(labels[-1] if stays else best)
    firsts = [m for m in range(len(labels)) if m == 0 or labels[m] != labels[m - 1]]
    seconds = np.diff(moments.edges)
    segments = []
    for first, end in zip(firsts, [*firsts[1:], len(labels)], strict=True):
        own = moments.scores[first:end, labels[first]]
        score = float(np.average(own, weights=seconds[first:end]))
        start, stop = float(moments.edges[first]), float(moments.edges[end])
        segments.append(Segment(start, stop, labels[first], score))
    return segments
