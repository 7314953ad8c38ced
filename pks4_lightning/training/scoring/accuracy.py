"""From scores to accuracies: one rule for every command, batch size and number of ranks.

Everything is computed in main memory, in float64, and outside autocast: bfloat16 would make 1.0 of
a score of 0.998.

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
    """Row of the first view of each video."""
    video_of_view: Int[np.ndarray, " V"]
    """Row of the video of each view."""
    scores: Float[np.ndarray, "M K"]
    """Float32."""


def mean_over_views(
    scores: Float[np.ndarray, "V K"], video_index: Int[np.ndarray, " V"]
) -> VideoMeans:
    """Average the scores of each video's views, in the order in which they come.

    Args:
        scores: One row per view; there may be none.
        video_index: The video that a view belongs to.
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
    """Tell for each video whether its label is among the ``k`` best classes.

    Of equal scores, the lower class index is the better one. A score that is not a number is worse
    than any other.

    Args:
        scores: Class scores.
        label: Class index of each video.
        k: How many classes count.
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

    Unlike the bootstrap's and the normal approximation's it holds at the ends: 8 of 8 right is
    67.6 % to 100 %. (Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", 1927; recommended by Brown, Cai and DasGupta, "Interval Estimation for a Binomial
    Proportion", 2001.)

    Args:
        num_right: Videos that are right.
        num_videos: All videos; of none, the interval is everything.
        confidence: Share of such intervals that cover the true accuracy, on average over what that
            may be.
    """
    if not num_videos:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = num_right / num_videos, z**2 / num_videos
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * (share * (1 - share) / num_videos + weight / (4 * num_videos)) ** 0.5
    # exactly at the ends, where rounding would leave 1e-17
    low = 0.0 if num_right == 0 else centre - half
    high = 1.0 if num_right == num_videos else centre + half
    return low, high
