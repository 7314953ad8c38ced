"""Compute accuracies by one rule for every command, batch size and number of ranks.

Everything is computed in main memory, in float64 and outside autocast, because bfloat16 would round
a score of 0.998 to 1.0.

Dimensions:
    V: views
    M: videos
    K: classes
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["VideoMeans", "in_top_k", "mean_over_views", "wilson_interval"]


class VideoMeans(NamedTuple):
    """Videos, and the mean scores of their views."""

    video_index: Int[np.ndarray, " M"]
    """Ascending."""
    first_view: Int[np.ndarray, " M"]
    """Index of the first view of each video."""
    video_of_view: Int[np.ndarray, " V"]
    """Row of each view's video in the means."""
    scores: Float[np.ndarray, "M K"]
    """Float32."""


def mean_over_views(
    scores: Float[np.ndarray, "V K"], video_index: Int[np.ndarray, " V"]
) -> VideoMeans:
    """Average the scores of each video's views, in order of appearance.

    Args:
        scores: One row per view; there may be none.
        video_index: The video of each view.
    """
    videos, first, inverse, counts = np.unique(
        video_index, return_index=True, return_inverse=True, return_counts=True
    )
    total = np.zeros((len(videos), scores.shape[1]))
    np.add.at(total, inverse, scores)
    return VideoMeans(videos, first, inverse, (total / counts[:, None]).astype(np.float32))


def in_top_k(
    scores: Float[np.ndarray, "M K"], label: Int[np.ndarray, " M"], k: int
) -> Bool[np.ndarray, " M"]:
    """Return for each video whether its label is among the ``k`` best classes.

    Of equal scores, the lower class index is better. NaN is worse than any other score.

    Args:
        scores: Class scores.
        label: Class index of each video.
        k: Number of best classes.
    """
    own = np.take_along_axis(scores, label[:, None], axis=1)
    after = np.arange(scores.shape[1]) > label[:, None]
    num_worse = ((scores < own) | ((scores == own) & after)).sum(axis=1)
    right: np.ndarray = num_worse >= scores.shape[1] - k
    return right


def wilson_interval(
    num_right: int, num_videos: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return Wilson's confidence interval of an accuracy.

    Unlike the bootstrap and the normal approximation, it is valid at the ends: 8 of 8 correct gives
    67.6 % to 100 %. (Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", 1927; recommended by Brown, Cai and DasGupta, "Interval Estimation for a Binomial
    Proportion", 2001.)

    Args:
        num_right: Number of correct videos.
        num_videos: Number of all videos; with none, the interval is 0 to 1.
        confidence: Share of such intervals that cover the true accuracy, on average over its
            possible values.
    """
    if not num_videos:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = num_right / num_videos, z**2 / num_videos
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * (share * (1 - share) / num_videos + weight / (4 * num_videos)) ** 0.5
    # exact at the ends, where rounding would leave 1e-17
    low = 0.0 if num_right == 0 else centre - half
    high = 1.0 if num_right == num_videos else centre + half
    return low, high
