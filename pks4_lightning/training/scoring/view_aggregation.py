"""From the scores of views to the scores of videos.

All views of a video stand in one batch of one rank, so nothing has to be kept between batches or
gathered between ranks, and clips that are not valid are dropped before anything is counted.

Dimensions:
    B: views of a batch
    V: valid views of a batch
    M: videos
    K: classes
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pks4_lightning.batch import VideoBatch

__all__ = ["Failure", "VideoScores", "score_videos"]


class Failure(NamedTuple):
    """A video that could not be scored."""

    video_path: str
    reason: str


class VideoScores(NamedTuple):
    """Class scores of whole videos, and of the views they are the means of."""

    scores: Float[Tensor, "M K"]
    """Mean softmax over a video's views; rows sum to 1."""
    label: Int[Tensor, " M"]
    video_index: Int[Tensor, " M"]
    video_path: list[str]
    view_scores: Float[Tensor, "V K"]
    view_index: Int[Tensor, " V"]
    video_of_view: Int[Tensor, " V"]
    """Row of ``scores`` that a view belongs to."""
    failures: list[Failure]

    def on_cpu(self) -> "VideoScores":
        """Return the same scores in main memory."""
        return self._replace(
            scores=self.scores.cpu(),
            label=self.label.cpu(),
            video_index=self.video_index.cpu(),
            view_scores=self.view_scores.cpu(),
            view_index=self.view_index.cpu(),
            video_of_view=self.video_of_view.cpu(),
        )


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
    videos, video_of_view, views_per_video = batch["video_index"][keep].unique(
        return_inverse=True, return_counts=True
    )
    # A matrix product rather than index_add: the sum is in the same order on every device.
    rows = torch.arange(len(videos), device=videos.device)
    membership = (rows[:, None] == video_of_view[None, :]).float()
    first_view = membership.argmax(dim=1) if len(videos) else videos
    paths = [path for path, valid in zip(batch["video_path"], keep.tolist(), strict=True) if valid]
    failed = dict.fromkeys(
        Failure(path, reason)
        for path, reason in zip(batch["video_path"], batch["failure"], strict=True)
        if reason
    )
    return VideoScores(
        scores=membership @ view_scores / views_per_video[:, None],
        label=batch["label"][keep][first_view],
        video_index=videos,
        video_path=[paths[view] for view in first_view.tolist()],
        view_scores=view_scores,
        view_index=batch["view_index"][keep],
        video_of_view=video_of_view,
        failures=list(failed),
    )
