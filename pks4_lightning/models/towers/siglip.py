"""SigLIP's vision tower; SigLIP 2 with a fixed image size has the same layout and type.

It has no class token: an attention pooling head reads the patches.

Reference:
    Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023,
    https://arxiv.org/abs/2303.15343.
    Tschannen et al., "SigLIP 2: Multilingual Vision-Language Encoders", 2025,
    https://arxiv.org/abs/2502.14786.
"""

from pks4_lightning.models.towers.family import Colours, TowerFamily

__all__ = ["SIGLIP"]

SIGLIP = TowerFamily(
    name="SigLIP, SigLIP 2",
    model_type="siglip_vision_model",
    whole_model_type="siglip",
    config_class="SiglipVisionConfig",
    model_class="SiglipVisionModel",
    fields=(
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_channels",
        "image_size",
        "patch_size",
        "hidden_act",
        "layer_norm_eps",
        "attention_dropout",
        "vision_use_head",
    ),
    blocks="encoder.layers",
    attention_norm="layer_norm1",
    attention_add="self_attn",
    has_class_token=False,
    frame_vector="pooling",
    any_size="flag",
    undecayed=("probe", "in_proj_bias"),
    left_behind=("text_model.", "logit_scale", "logit_bias"),
    colours=Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)
