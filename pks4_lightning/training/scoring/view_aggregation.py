"""Aggregate the scores of views to scores of videos.

All views of a video are in one batch of one rank, so nothing is kept between batches or gathered
between ranks; invalid clips are dropped before anything is counted.

Dimensions:
    B: views of a batch
    V: valid views of a batch
    M: videos
    K: classes
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pks4_lightning.batch import VideoBatch
from pks4_lightning.training.scoring.accuracy import mean_over_views

__all__ = ["Failure", "VideoScores", "score_videos"]


class Failure(NamedTuple):
    """A video that could not be scored."""

    video_path: str
    reason: str


class VideoScores(NamedTuple):
    """Class scores of whole videos and of their views, in main memory."""

    scores: Float[Tensor, "M K"]
    """Mean softmax over a video's views; rows sum to 1."""
    label: Int[Tensor, " M"]
    video_index: Int[Tensor, " M"]
    video_path: list[str]
    view_scores: Float[Tensor, "V K"]
    view_index: Int[Tensor, " V"]
    video_of_view: Int[Tensor, " V"]
    """Row of ``scores`` that each view belongs to."""
    failures: list[Failure]


def score_videos(logits: Float[Tensor, "B K"], batch: VideoBatch) -> VideoScores:
    """Average the softmax scores of each video's views, without invalid clips.

    Args:
        logits: One row per view of ``batch``.
        batch: The views; ``video_index`` identifies the video of each.

    Returns:
        One row per valid video, ordered by ``video_index``. There may be none. A video whose logits
        are not finite is listed as a failure instead.
    """
    logits, indices = logits.float().cpu(), batch["video_index"].cpu()
    valid = batch["valid"].cpu()
    not_finite = torch.isin(indices, indices[valid & ~logits.isfinite().all(dim=-1)])
    keep = valid & ~not_finite
    view_scores = logits[keep].softmax(dim=-1)
    means = mean_over_views(view_scores.numpy(force=True), indices[keep].numpy())
    first_view = torch.from_numpy(means.first_view)
    rows = keep.nonzero().flatten()[first_view].tolist()
    return VideoScores(
        scores=torch.from_numpy(means.scores),
        label=batch["label"].cpu()[keep][first_view],
        video_index=torch.from_numpy(means.video_index),
        video_path=[batch["video_path"][row] for row in rows],
        view_scores=view_scores,
        view_index=batch["view_index"].cpu()[keep],
        video_of_view=torch.from_numpy(means.video_of_view),
        failures=_failures(batch, valid & not_finite),
    )


def _failures(batch: VideoBatch, not_finite: Bool[Tensor, " B"]) -> list[Failure]:
    """Return each video that could not be decoded or scored, once."""
    found: dict[Failure, None] = {}
    for path, reason, overflowed in zip(
        batch["video_path"], batch["failure"], not_finite.tolist(), strict=True
    ):
        if overflowed:
            reason = (
                f"The scores of {path} are not finite, because values exceed the range of the "
                "precision. Use --trainer.precision bf16-mixed or 32-true."
            )
        if reason:
            found[Failure(path, reason)] = None
    return list(found)
