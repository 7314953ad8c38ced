"""The architectures of OpenAI's CLIP vision transformers, for descriptions that need no weights.

Reference:
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020, Table 20.
"""

import dataclasses
from typing import Any

from pks4_lightning.models.classifier import resolve_backbone_config
from pks4_lightning.models.config import PKS4Config

__all__ = ["OPENAI_TOWERS", "without_weights"]

_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
}
_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "projection_dim": 768,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
OPENAI_TOWERS: dict[str, dict[str, Any]] = {
    "openai/clip-vit-base-patch32": {**_BASE, "patch_size": 32},
    "openai/clip-vit-base-patch16": {**_BASE, "patch_size": 16},
    "openai/clip-vit-large-patch14": {**_LARGE, "image_size": 224},
    "openai/clip-vit-large-patch14-336": {**_LARGE, "image_size": 336},
}
"""Hub id to the ``CLIPVisionConfig`` fields that are not the default."""


def without_weights(config: PKS4Config) -> PKS4Config:
    """Describe the same architecture with random weights, so that building it downloads nothing.

    Args:
        config: The description. The four backbones above are known here; another one is looked up
            unless ``backbone_config`` is the whole architecture already.

    Returns:
        The description with ``pretrained`` and ``compile`` off.

    Raises:
        FileNotFoundError: If another backbone is neither in a folder nor to be had from the hub.
        ValueError: If ``backbone_config`` names an unknown field.
    """
    is_whole = not config.pretrained and config.backbone_config
    if config.backbone in OPENAI_TOWERS and not is_whole:
        fields = {**OPENAI_TOWERS[config.backbone], **(config.backbone_config or {})}
    else:
        fields = resolve_backbone_config(config).backbone_config or {}
    return dataclasses.replace(config, pretrained=False, backbone_config=fields, compile=False)
