"""Group videos of the same scene by appearance: colours and their positions.

Dimensions:
    V: videos
    D: numbers in a description
    T: frames
    H, W: pixels
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from pks4_lightning.data.clips.pool import PooledFrames
from pks4_lightning.data.video.frame_source import FrameSource

__all__ = ["describe_scene", "group_scenes"]

_FRAMES = 6
_SIZE = (12, 16)
_BINS = 16
_HUE_BINS = 8


def describe_scene(video: FrameSource) -> list[Float[np.ndarray, " D"]]:
    """Describe what is constant in a video: mean picture, colours, and both without brightness.

    Args:
        video: The video, of which six frames are decoded.

    Returns:
        Three descriptions of different lengths.

    Raises:
        VideoDecodeError: If it cannot be decoded.
    """
    frames = PooledFrames(video, _FRAMES).frames(range(_FRAMES), _SIZE).numpy()
    return _descriptions(frames)


def _descriptions(frames: UInt8[np.ndarray, "T H W 3"]) -> list[np.ndarray]:
    colours = frames.astype(np.float32) / 255
    histograms = [
        np.histogram(colours[..., channel], bins=_BINS, range=(0, 1))[0] for channel in range(3)
    ]
    shares = colours / (colours.sum(-1, keepdims=True) + 1e-3)
    hues, _, _ = np.histogram2d(
        shares[..., 0].ravel(), shares[..., 1].ravel(), bins=_HUE_BINS, range=[(0.1, 0.6)] * 2
    )
    # square roots of shares give the Hellinger distance, in which rare colours count
    num_pixels = colours[..., 0].size
    return [
        colours.mean(0).ravel(),
        np.sqrt(np.concatenate(histograms) / num_pixels),
        np.sqrt(hues.ravel() / num_pixels),
    ]


def group_scenes(
    descriptions: Sequence[Sequence[Float[np.ndarray, " D"]]], num_groups: int
) -> list[int]:
    """Merge the most similar videos until the given number of groups remains (average linkage).

    Args:
        descriptions: Descriptions of each video, from :func:`describe_scene`.
        num_groups: Number of groups.

    Returns:
        The group of each video, counted from 1 in the order of their first videos.

    Raises:
        ValueError: If there are fewer videos than groups, or no groups are requested.
    """
    num_videos = len(descriptions)
    if not 1 <= num_groups <= num_videos:
        raise ValueError(f"{num_videos} videos are too few for {num_groups} groups.")
    distances = sum(_distances(np.stack(kind)) for kind in zip(*descriptions, strict=True))
    assert isinstance(distances, np.ndarray)
    np.fill_diagonal(distances, np.inf)
    group = np.arange(num_videos)
    size = np.ones(num_videos)
    for _ in range(num_videos - num_groups):
        one, other = np.unravel_index(np.argmin(distances), distances.shape)
        joined = (size[one] * distances[one] + size[other] * distances[other]) / (
            size[one] + size[other]
        )
        distances[one], distances[:, one] = joined, joined
        distances[other], distances[:, other] = np.inf, np.inf
        distances[one, one] = np.inf
        size[one] += size[other]
        group[group == group[other]] = group[one]
    numbers = {first: number for number, first in enumerate(dict.fromkeys(group.tolist()), 1)}
    return [numbers[first] for first in group.tolist()]


def _distances(points: Float[np.ndarray, "V D"]) -> Float[np.ndarray, "V V"]:
    """Return the distances of all pairs, in units of their median."""
    squares = (points**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0.0))
    middle = np.median(distances[np.triu_indices(len(points), 1)]) if len(points) > 1 else 1.0
    scaled: np.ndarray = distances.astype(np.float64) / max(float(middle), 1e-12)
    return scaled
