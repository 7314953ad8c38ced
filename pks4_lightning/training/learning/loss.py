"""The loss of a training: cross-entropy with smoothed labels, classes weighted if asked for.

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
    """Return what the loss of each class counts.

    Args:
        given: A weight per class; ``balanced``: inversely proportional to the number of its
            training videos, 1 on average over the videos; ``None``: all alike.
        labels: Class of every training video.
        num_classes: Number of classes K.

    Returns:
        The weights; ``None`` where all classes count alike. A class without videos has none.

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
            f"recipe.class_weights holds {len(given)} weights for {num_classes} classes: give one "
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
    """Return the mean over clips of the cross-entropy, each class's part times its weight.

    Args:
        logits: Of the clips.
        target: Label distributions, rows summing to 1.
        label_smoothing: Share of the target spread over all classes.
        weights: Of the classes; ``None``: 1.
    """
    weight = None if weights is None else weights.to(logits)
    return F.cross_entropy(logits, target, weight, label_smoothing=label_smoothing)
