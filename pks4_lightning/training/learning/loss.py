"""Cross-entropy with label smoothing and optional class weights.

Dimensions:
    B: clips
    K: classes
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["class_weights", "cross_entropy"]


def class_weights(
    given: Literal["balanced"] | Sequence[float] | None,
    labels: Sequence[int],
    *,
    num_classes: int,
) -> Float[Tensor, " K"] | None:
    """Return the weight of each class in the loss.

    Args:
        given: One weight per class; ``balanced``: inversely proportional to the number of training
            videos of the class, with mean 1 over the videos; ``None``: no weights.
        labels: Class of every training video.
        num_classes: Number of classes K.

    Returns:
        The weights; ``None`` if all classes have the same. A class without videos has weight 0.

    Raises:
        ValueError: If there is not one weight per class.
    """
    if given is None:
        return None
    if isinstance(given, str):
        counts = torch.tensor(labels).bincount(minlength=num_classes)
        weights = len(labels) / (counts.count_nonzero() * counts)
        return weights.masked_fill(counts == 0, 0.0)
    if len(given) != num_classes:
        raise ValueError(
            f"recipe.class_weights has {len(given)} weights for {num_classes} classes: give one "
            "per class in the order of the labels, or balanced."
        )
    return torch.tensor(given)


def cross_entropy(
    logits: Float[Tensor, "B K"],
    target: Float[Tensor, "B K"],
    *,
    label_smoothing: float,
    weights: Float[Tensor, " K"] | None,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy over clips, with each class's term times its weight.

    Args:
        logits: Logits of the clips.
        target: Label distributions, rows summing to 1.
        label_smoothing: Share of the target spread over all classes.
        weights: Class weights; ``None``: 1.
    """
    weight = None if weights is None else weights.to(logits)
    return F.cross_entropy(logits, target, weight, label_smoothing=label_smoothing)
