"""From the scores of views to the scores of videos.

All views of a video stand in one batch of one rank, so nothing has to be kept between batches or
gathered between ranks, and clips that only fill up a batch are dropped before anything is counted.

Dimensions:
    B: views
    M: videos
    K: classes
"""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from pks4_lightning.batch import VideoBatch

__all__ = ["VideoScores", "score_videos"]


class VideoScores(NamedTuple):
    """Class scores of whole videos."""

    scores: Float[Tensor, "M K"]
    """Mean softmax over a video's views; rows sum to 1."""
    label: Int[Tensor, " M"]
    video_index: Int[Tensor, " M"]
    video_path: list[str]


def score_videos(logits: Float[Tensor, "B K"], batch: VideoBatch) -> VideoScores:
    """Average the softmax scores of each video's views; leave out clips that are not valid.

    Args:
        logits: One row per view of ``batch``.
        batch: The views; ``video_index`` says which belong together.

    Returns:
        One row per valid video, ordered by ``video_index``. There may be none.
    """
    keep = batch["valid"]
    view_scores = logits[keep].float().softmax(dim=-1)
    video_of_view = batch["video_index"][keep]
    videos, views_per_video = video_of_view.unique(return_counts=True)
    # A matrix product rather than index_add: the sum is in the same order on every device.
    membership = (videos[:, None] == video_of_view[None, :]).float()
    first_view = membership.argmax(dim=1) if len(videos) else videos
    paths = [path for path, valid in zip(batch["video_path"], keep.tolist(), strict=True) if valid]
    return VideoScores(
        scores=membership @ view_scores / views_per_video[:, None],
        label=batch["label"][keep][first_view],
        video_index=videos,
        video_path=[paths[view] for view in first_view.tolist()],
    )
