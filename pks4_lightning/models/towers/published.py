"""The architectures of some published towers, so that costs need no download.

Reference:
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020, Table 20; for the others, the ``config.json`` beside the
    weights.
"""

from typing import Any

__all__ = ["PUBLISHED"]

_CLIP_BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
}
_CLIP_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "projection_dim": 768,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
_SIGLIP_BASE = {
    "model_type": "siglip_vision_model",
    **_BASE,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
}
_DINOV2_BASE = {**_BASE, "image_size": 518, "patch_size": 14}

PUBLISHED: dict[str, dict[str, Any]] = {
    "openai/clip-vit-base-patch32": {**_CLIP_BASE, "patch_size": 32},
    "openai/clip-vit-base-patch16": {**_CLIP_BASE, "patch_size": 16},
    "openai/clip-vit-large-patch14": {**_CLIP_LARGE, "image_size": 224},
    "openai/clip-vit-large-patch14-336": {**_CLIP_LARGE, "image_size": 336},
    "google/siglip-base-patch16-224": _SIGLIP_BASE,
    "google/siglip2-base-patch16-224": _SIGLIP_BASE,
    "facebook/dinov2-base": {"model_type": "dinov2", **_DINOV2_BASE},
    "facebook/dinov2-with-registers-base": {
        "model_type": "dinov2_with_registers",
        **_DINOV2_BASE,
        "num_register_tokens": 4,
    },
    "facebook/dinov3-vitb16-pretrain-lvd1689m": {
        "model_type": "dinov3_vit",
        **_BASE,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 16,
        "num_register_tokens": 4,
    },
    "WinKawaks/vit-tiny-patch16-224": {
        "model_type": "vit",
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 3,
        "patch_size": 16,
        "image_size": 224,
    },
    "google/vit-base-patch16-224": {
        "model_type": "vit",
        **_BASE,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 16,
    },
}
"""Maps hub ids to the fields that differ from the defaults of their type. Their preprocessing is
the default of their family."""
