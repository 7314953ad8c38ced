"""From scores over time to segments with one label each.

Dimensions:
    N: windows, in the order of their starts
    K: classes
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["Segment", "find_segments"]


class Segment(NamedTuple):
    """A part of a video with one label."""

    start: float
    """Seconds from the video's first frame."""
    end: float
    label: int
    score: float
    """Mean of the label's scores over the segment's windows."""


def find_segments(
    spans: Sequence[tuple[float, float]], scores: Float[np.ndarray, "N K"], *, margin: float = 0.1
) -> list[Segment]:
    """Merge windows into segments, with hysteresis.

    The label of a window is that of the window before it unless another class scores more than
    ``margin`` higher: two classes that are close to each other do not alternate. Where the label
    changes, one segment ends and the next one begins in the middle between the centres of the two
    windows; the first segment begins with the first window, the last one ends with the last.

    Args:
        spans: Start and end of every window, in seconds.
        scores: Scores of every window, such as probabilities.
        margin: By how much another class must score higher to become the label, 0 or more.

    Returns:
        Segments without gaps or overlaps, in their order.

    Raises:
        ValueError: If ``margin`` is negative.
    """
    if margin < 0:
        raise ValueError(f"--margin is {margin:g}; it must be 0 or more.")
    labels: list[int] = []
    for row in scores:
        best = int(row.argmax())
        stays = labels and row[best] <= row[labels[-1]] + margin
        labels.append(labels[-1] if stays else best)
    firsts = [n for n in range(len(labels)) if n == 0 or labels[n] != labels[n - 1]]
    centres = [(start + end) / 2 for start, end in spans]
    bounds = [spans[0][0], *((centres[n - 1] + centres[n]) / 2 for n in firsts[1:]), spans[-1][1]]
    segments = []
    for i, (first, end) in enumerate(zip(firsts, [*firsts[1:], len(labels)], strict=True)):
        score = float(scores[first:end, labels[first]].mean())
        segments.append(Segment(bounds[i], bounds[i + 1], labels[first], score))
    return segments
