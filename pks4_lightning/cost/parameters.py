"""How many parameters a classifier has, and where."""

import torch
from torch import nn

from pks4_lightning.models.classifier import PKS4Classifier, build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights

__all__ = ["PARTS", "count_parameters", "describe", "parts_of"]

PARTS = (
    "vision tower",
    "class-token route",
    "correlation",
    "variation",
    "KS4 scanner",
    "backward scanner",
    "pooled route",
    "head",
)
"""The parts of a classifier, in the order in which a clip passes them."""


def describe(config: PKS4Config) -> PKS4Classifier:
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


def parts_of(classifier: PKS4Classifier) -> dict[str, nn.Module]:
    """Name the modules that make up a classifier, those of :data:`PARTS` that it has.

    Args:
        classifier: The classifier.
    """
    pks4 = classifier.pks4
    modules: dict[str, nn.Module | None] = {
        "vision tower": classifier.backbone,
        "class-token route": classifier.class_route,
        "correlation": pks4.prior_encoder.correlation if pks4 else None,
        "variation": pks4.prior_encoder.variation if pks4 else None,
        "KS4 scanner": pks4.scanner if pks4 else None,
        "backward scanner": pks4.backward_scanner if pks4 else None,
        "pooled route": classifier.pooled_route,
        "head": classifier.head,
    }
    return {part: module for part in PARTS if (module := modules[part]) is not None}


def count_parameters(classifier: PKS4Classifier, *, trainable: bool = False) -> dict[str, int]:
    """Count the parameters of every part.

    Args:
        classifier: The classifier, on any device.
        trainable: Count only those that training changes.

    Returns:
        Part to number; the parts add up to the classifier.
    """
    return {
        part: sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)
        for part, module in parts_of(classifier).items()
    }
