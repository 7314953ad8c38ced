"""Tiny towers of every family, and their blocks written out by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["CASES", "TINIER_TOWER", "TINY_TOWER", "Case", "plain_vectors", "same"]

_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 32,
}
_MLP = {**_SIZES, "intermediate_size": 32}

TINY_TOWER = {**_MLP, "projection_dim": 8}
"""A CLIP tower of three blocks; frames have 4 × 4 patches."""

TINIER_TOWER = {**TINY_TOWER, "num_hidden_layers": 2, "image_size": 16}
"""A CLIP tower of two blocks; frames have 2 × 2 patches."""


def same(tokens):
    return tokens


def clip_block(block, x, *, enter=same, normed=same, middle=same):
    x = enter(x)
    x = middle(x + block.self_attn(normed(block.layer_norm1(x)), None)[0])
    return x + block.mlp(block.layer_norm2(x))


def dino_block(block, x, *, enter=same, normed=same, middle=same, **positions):
    x = enter(x)
    attended = block.attention(normed(block.norm1(x)), **positions)[0]
    x = middle(x + block.drop_path(attended * block.layer_scale1.lambda1))
    return x + block.drop_path(block.mlp(block.norm2(x)) * block.layer_scale2.lambda1)


def vit_block(block, x, *, enter=same, normed=same, middle=same):
    x = enter(x)
    x = middle(x + block.dropout(block.attention(normed(block.layernorm_before(x)))[0]))
    return x + block.dropout(block.mlp(block.layernorm_after(x)))


def aimv2_block(block, x, *, enter=same, normed=same, middle=same):
    x = enter(x)
    x = middle(x + block.attention(normed(block.rms_norm1(x)))[0])
    return x + block.ffn(block.rms_norm2(x))


@dataclass(frozen=True)
class Case:
    """A tiny tower: its architecture, its class in transformers, and its expected properties."""

    fields: dict[str, Any]
    model_class: str
    block: Callable[..., torch.Tensor]
    num_prefix: int
    """Number of class and register tokens."""
    blocks: str
    has_class_token: bool = True
    d_frame: int = 16
    frame_vector: Callable[[Any], torch.Tensor] = lambda out: out.last_hidden_state[:, 0]
    options: dict[str, Any] | None = None
    """Of the model class."""
    any_size: str = "flag"
    frozen: tuple[str, ...] = ()


def _clip(prefix, model_type, **more):
    return Case(
        {"model_type": model_type, **TINY_TOWER},
        f"{prefix}VisionModelWithProjection",
        clip_block,
        num_prefix=1,
        blocks="vision_model.encoder.layers",
        d_frame=8,
        frame_vector=lambda out: out.image_embeds,
        **more,
    )


def _siglip(**fields):
    pooled = fields.get("vision_use_head", True)
    return Case(
        {"model_type": "siglip_vision_model", **_MLP, **fields},
        "SiglipVisionModel",
        clip_block,
        num_prefix=0,
        blocks="encoder.layers",
        has_class_token=False,
        frame_vector=lambda out: out.pooler_output if pooled else out.last_hidden_state.mean(1),
    )


def _dino(model_type, name, registers=0, blocks="encoder.layer", **fields):
    return Case(
        {"model_type": model_type, **_SIZES, "layerscale_value": 0.5, **fields}
        | ({"num_register_tokens": registers} if registers else {}),
        f"{name}Model",
        dino_block,
        num_prefix=1 + registers,
        blocks=blocks,
        any_size="free",
        frozen=("backbone.embeddings.mask_token",),
    )


def _aimv2(**fields):
    pooled = fields.get("use_head", True)
    return Case(
        {"model_type": "aimv2_vision_model", **_MLP, **fields},
        "Aimv2VisionModel",
        aimv2_block,
        num_prefix=0,
        blocks="encoder.layers",
        has_class_token=False,
        frame_vector=lambda out: out.pooler_output if pooled else out.last_hidden_state.mean(1),
        any_size="free" if fields.get("is_native") else "fixed",
    )


CASES = {
    "clip": _clip("CLIP", "clip_vision_model"),
    "metaclip2": _clip("MetaClip2", "metaclip_2_vision_model"),
    "siglip": _siglip(),
    "siglip without head": _siglip(vision_use_head=False),
    "dinov2": _dino("dinov2", "Dinov2", mlp_ratio=2),
    "dinov2 dropping paths": _dino("dinov2", "Dinov2", drop_path_rate=0.5, use_swiglu_ffn=True),
    "dinov2 registers": _dino("dinov2_with_registers", "Dinov2WithRegisters", 4, mlp_ratio=2),
    "dinov3": _dino("dinov3_vit", "DINOv3ViT", 3, "model.layer", intermediate_size=32),
    "vit": Case(
        {"model_type": "vit", **_MLP},
        "ViTModel",
        vit_block,
        num_prefix=1,
        blocks="layers",
        options={"add_pooling_layer": False},
    ),
    "vit dropping out": Case(
        {"model_type": "vit", **_MLP, "hidden_dropout_prob": 0.2},
        "ViTModel",
        vit_block,
        num_prefix=1,
        blocks="layers",
        options={"add_pooling_layer": False},
    ),
    "aimv2": _aimv2(use_head=False),
    "aimv2 native": _aimv2(is_native=True),
}
"""All families and their variants, by name."""


def plain_vectors(case, classifier, video):
    """Return the vector of every frame from transformers' own model, with a classifier's weights.

    Args:
        case: The tower.
        classifier: Classifier whose backbone provides the weights.
        video: B C T H W.
    """
    import transformers

    config = classifier.backbone.config
    plain = getattr(transformers, case.model_class)(config, **(case.options or {}))
    plain.load_state_dict(classifier.backbone.state_dict())
    plain = plain.train(classifier.backbone.training).to(video.dtype)
    is_own = video.shape[-2:] == (config.image_size, config.image_size)
    flag = {"interpolate_pos_encoding": not is_own} if case.any_size == "flag" else {}
    frames = video.transpose(1, 2).flatten(0, 1)
    return case.frame_vector(plain(frames, **flag)).unflatten(0, (len(video), -1))
