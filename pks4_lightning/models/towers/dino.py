"""DINOv2, with and without registers, and DINOv3's vision transformers.

Attention and MLP outputs are scaled per channel before they are added (LayerScale), and may be
dropped per image in training (stochastic depth). ``drop_path`` comes last, so its output is what is
added; a block calls it after the attention and again after the MLP.

Reference:
    Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023,
    https://arxiv.org/abs/2304.07193.
    Darcet et al., "Vision Transformers Need Registers", 2023, https://arxiv.org/abs/2309.16588.
    Simeoni et al., "DINOv3", 2025, https://arxiv.org/abs/2508.10104.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pks4_lightning.models.towers.family import IMAGENET, TowerFamily

__all__ = ["DINOV2", "DINOV2_WITH_REGISTERS", "DINOV3", "coordinates_uncached"]

_SHARED_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "layerscale_value",
    "drop_path_rate",
    "initializer_range",
)
_DINOV2_FIELDS = (
    *_SHARED_FIELDS,
    "mlp_ratio",
    "use_swiglu_ffn",
    "qkv_bias",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
)

DINOV2 = TowerFamily(
    name="DINOv2",
    model_type="dinov2",
    config_class="Dinov2Config",
    model_class="Dinov2Model",
    fields=(*_DINOV2_FIELDS, "use_mask_token"),
    blocks="encoder.layer",
    attention_norm="norm1",
    attention_add="drop_path",
    has_class_token=True,
    frame_vector="class_token",
    any_size="free",
    undecayed=("cls_token", "mask_token", "register_tokens", "position_embeddings", "lambda1"),
    unused=("embeddings.mask_token",),
    left_behind=("classifier.",),
    colours=IMAGENET,
    frame_size=224,  # its position embeddings are for 518 pixels
)

DINOV2_WITH_REGISTERS = replace(
    DINOV2,
    name="DINOv2 with registers",
    model_type="dinov2_with_registers",
    config_class="Dinov2WithRegistersConfig",
    model_class="Dinov2WithRegistersModel",
    fields=(*_DINOV2_FIELDS, "num_register_tokens"),
    registers="num_register_tokens",
)

DINOV3 = replace(
    DINOV2_WITH_REGISTERS,
    name="DINOv3",
    model_type="dinov3_vit",
    config_class="DINOv3ViTConfig",
    model_class="DINOv3ViTModel",
    fields=(
        *_SHARED_FIELDS,
        "intermediate_size",
        "use_gated_mlp",
        "query_bias",
        "key_bias",
        "value_bias",
        "proj_bias",
        "mlp_bias",
        "attention_dropout",
        "num_register_tokens",
        "rope_theta",
        "pos_embed_shift",
        "pos_embed_jitter",
        "pos_embed_rescale",
    ),
    blocks="model.layer",
    frame_size=None,
)


@contextmanager
def coordinates_uncached() -> Iterator[None]:
    """Make DINOv3 recompute its patch coordinates in every pass.

    transformers caches the tensor for later passes with the same number of patches and device. A
    tensor without content, from a fake pass, would then be used by a real one.
    """
    module = sys.modules.get("transformers.models.dinov3_vit.modeling_dinov3_vit")
    if module is None:
        yield
        return
    cached = module.get_patches_center_coordinates
    module.__dict__["get_patches_center_coordinates"] = cached.__wrapped__
    try:
        yield
    finally:
        module.__dict__["get_patches_center_coordinates"] = cached
