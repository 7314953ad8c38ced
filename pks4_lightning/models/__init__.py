"""Neural network modules, and the builder that assembles them."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.models.building import build_classifier
    from pks4_lightning.models.class_route import ClassTokenRoute
    from pks4_lightning.models.classifier import PKS4Classifier
    from pks4_lightning.models.config import PKS4Config
    from pks4_lightning.models.kinematic_prior import (
        CorrelationOperator,
        KinematicPriorEncoder,
        VariationOperator,
    )
    from pks4_lightning.models.pks4 import PKS4Module
    from pks4_lightning.models.pretrained import ClipInput, load_classifier, save_weights
    from pks4_lightning.models.resolve import resolve_backbone_config
    from pks4_lightning.models.scanner import KS4Scanner
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ClassTokenRoute",
    "ClipInput",
    "CorrelationOperator",
    "KS4Scanner",
    "KinematicPriorEncoder",
    "PKS4Classifier",
    "PKS4Config",
    "PKS4Module",
    "VariationOperator",
    "build_classifier",
    "load_classifier",
    "resolve_backbone_config",
    "save_weights",
]
