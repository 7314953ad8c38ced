"""The predictions of a classifier for a video: its best classes, in order.

Dimensions:
    M: videos
    K: classes
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

__all__ = ["Label", "Prediction", "best_labels"]


class Label(NamedTuple):
    """A class and its score."""

    name: str
    score: float
    """Mean softmax over the views of the video, 0 to 1."""


class Prediction(NamedTuple):
    """The best classes of one video."""

    video_path: str
    label: str
    """Its true class; empty if unknown."""
    best: list[Label]
    """The classes, in descending order of their scores."""


def best_labels(
    scores: Float[np.ndarray, "M K"], names: Sequence[str], *, num_best: int | None = None
) -> list[list[Label]]:
    """Rank the classes of every video by their scores; ties go to the lower class index.

    Args:
        scores: Class scores, one row per video.
        names: Class names by index.
        num_best: Number of classes to return per video; ``None``: all.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :num_best]
    return [
        [Label(names[k], float(row[k])) for k in best]
        for row, best in zip(scores, order.tolist(), strict=True)
    ]
