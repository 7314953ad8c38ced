"""Parameters and operations of the model that settings describe."""

import functools
import json

import torch
from torch.utils.flop_counter import FlopCounterMode

from pks4_lightning.ablations.settings import Settings
from pks4_lightning.models.classifier import build_classifier, resolve_backbone_config
from pks4_lightning.models.config import PKS4Config

__all__ = ["model_cost", "num_blocks"]


def num_blocks(settings: Settings) -> int:
    """Return the depth of the backbone."""
    fields = _resolved(settings).backbone_config or {}
    return int(fields["num_hidden_layers"])


def model_cost(settings: Settings) -> tuple[int, float]:
    """Return the number of parameters and the GFLOPs of a view."""
    data = settings["data"]
    size = data["frame_size"]
    key = json.dumps(settings["model"]["classifier"], sort_keys=True)
    return _count(key, data["num_frames"], size)


@functools.cache
def _count(classifier: str, num_frames: int, frame_size: int) -> tuple[int, float]:
    config = PKS4Config(**json.loads(classifier))
    with torch.device("meta"):
        model = build_classifier(resolve_backbone_config(config), load_weights=False)
    clip = torch.empty(1, 3, num_frames, frame_size, frame_size, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(clip)
    params = sum(parameter.numel() for parameter in model.parameters())
    return params, round(counter.get_total_flops() / 2e9, 4)


def _resolved(settings: Settings) -> PKS4Config:
    return resolve_backbone_config(PKS4Config(**settings["model"]["classifier"]))
