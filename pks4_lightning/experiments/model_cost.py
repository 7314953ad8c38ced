"""Compute parameters and operations of the model that settings describe."""

import functools
import json

from pks4_lightning.cli.settings import Settings
from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights

__all__ = ["model_cost", "num_blocks"]


def num_blocks(settings: Settings) -> int:
    """Return the depth of the backbone.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Raises:
        FileNotFoundError: If the backbone's architecture cannot be found.
    """
    fields = without_weights(PKS4Config(**settings["model"]["classifier"])).backbone_config or {}
    return int(fields["num_hidden_layers"])


def model_cost(settings: Settings) -> tuple[int, float]:
    """Count the parameters and operations of a model without building it.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        The number of parameters, and the GFLOPs of a view in the paper's convention.
    """
    data = settings["data"]
    classifier = json.dumps(settings["model"]["classifier"], sort_keys=True)
    return _count(classifier, data["num_frames"], data["frame_size"])


@functools.cache
def _count(classifier: str, num_frames: int, frame_size: int) -> tuple[int, float]:
    model = meta_classifier(PKS4Config(**json.loads(classifier)))
    flops = total_flops(count_flops(model, num_frames=num_frames, frame_size=frame_size))
    return sum(count_parameters(model).values()), round(flops.paper / 1e9, 4)
