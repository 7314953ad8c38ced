"""PKS⁴: parallel kinematic selective state space scanners for video recognition."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names
from pks4_lightning.version import __version__

if TYPE_CHECKING:
    from pks4_lightning.data.datamodule import VideoDataModule
    from pks4_lightning.hub.transformers_model import PKS4ForVideoClassification
    from pks4_lightning.inference import load
    from pks4_lightning.models.building import build_classifier
    from pks4_lightning.models.classifier import PKS4Classifier
    from pks4_lightning.models.config import PKS4Config
    from pks4_lightning.models.pretrained import load_classifier
    from pks4_lightning.ops.scan.selective_scan import selective_scan
    from pks4_lightning.training.task import VideoClassificationTask
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "PKS4Classifier",
    "PKS4Config",
    "PKS4ForVideoClassification",
    "VideoClassificationTask",
    "VideoDataModule",
    "__version__",
    "build_classifier",
    "load",
    "load_classifier",
    "selective_scan",
]
