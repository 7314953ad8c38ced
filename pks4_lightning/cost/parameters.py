"""Count the parameters of a classifier by part."""

import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights
from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["count_parameters", "describe"]


def describe(config: PKS4Config, trains: str = "all") -> VideoClassifier:
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


def count_parameters(classifier: VideoClassifier, *, trainable: bool = False) -> dict[str, int]:
    """Count the parameters of each part.

    Args:
        classifier: The classifier, on any device.
        trainable: Count only parameters that training changes.

    Returns:
        Number of parameters by part; they sum to the whole classifier.
    """
    return {
        part: sum(
            parameter.numel()
            for module in modules
            for parameter in module.parameters()
            if parameter.requires_grad or not trainable
        )
        for part, modules in classifier.parts().items()
    }
