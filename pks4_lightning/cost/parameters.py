"""How many parameters a classifier has, and where."""

import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights
from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["count_parameters", "describe"]


def describe(config: PKS4Config) -> VideoClassifier:
    """Build a classifier on the meta device, where tensors have shapes and no content.

    Args:
        config: The description; weights are never read.

    Returns:
        The classifier, in training mode.

    Raises:
        FileNotFoundError: If the backbone's architecture cannot be looked up.
        ValueError: If the description does not fit its backbone.
    """
    with torch.device("meta"):
        return build_classifier(without_weights(config))


def count_parameters(classifier: VideoClassifier, *, trainable: bool = False) -> dict[str, int]:
    """Count the parameters of every part.

    Args:
        classifier: The classifier, on any device.
        trainable: Count only those that training changes.

    Returns:
        Part to number; the parts add up to the classifier.
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
