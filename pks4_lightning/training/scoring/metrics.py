"""The accuracy that is logged during a run.

Dimensions:
    M: videos
    K: classes
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from pks4_lightning.training.scoring.accuracy import in_top_k

__all__ = ["TopKAccuracy", "accuracies"]


class TopKAccuracy(Metric):
    """The share of videos whose label is among the ``k`` best classes.

    Counts are integers, so that sums over batches and ranks are exact.

    Args:
        k: Number of best classes.
    """

    right: Tensor
    total: Tensor

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Float[Tensor, "M K"], label: Int[Tensor, " M"]) -> None:
        """Add a batch of videos.

        Args:
            scores: Class scores.
            label: Class index of each video.
        """
        self.right += int(in_top_k(scores.numpy(force=True), label.numpy(force=True), self.k).sum())
        self.total += len(label)

    def compute(self) -> Float[Tensor, ""]:
        """Return the share; 0 without videos."""
        return self.right / self.total.clamp_min(1)


def accuracies(prefix: str) -> MetricCollection:
    """Return top-1 and top-5 accuracy.

    Args:
        prefix: Prepended to the names ``top1`` and ``top5``.
    """
    metrics: dict[str, Metric | MetricCollection] = {f"top{k}": TopKAccuracy(k) for k in (1, 5)}
    return MetricCollection(metrics, prefix=prefix, compute_groups=False)
