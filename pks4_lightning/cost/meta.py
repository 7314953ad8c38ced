"""Build a classifier without memory for its parameters, to count what it has and does."""

import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights
from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["meta_classifier"]


def meta_classifier(config: PKS4Config, trains: str = "all") -> VideoClassifier:
    """Build a classifier on the meta device, where tensors have shapes but no content.

    Args:
        config: The configuration; weights are never read.
        trains: ``recipe.trains``; other parameters require no gradient.

    Returns:
        The classifier, in training mode.

    Raises:
        FileNotFoundError: If the backbone's architecture cannot be found.
        ValueError: If the configuration does not fit its backbone.
    """
    with torch.device("meta"):
        classifier = build_classifier(without_weights(config))
    classifier.freeze(trains)
    return classifier
