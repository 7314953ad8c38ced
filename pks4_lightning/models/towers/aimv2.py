"""AIMv2's vision tower: no class token, RMS norms, and a pooling head in some of them.

Position embeddings of the models for a fixed image size cannot be interpolated in transformers; the
``native`` models compute theirs for any grid.

Reference:
    Fini et al., "Multimodal Autoregressive Pre-training of Large Vision Encoders", 2024,
    https://arxiv.org/abs/2411.14402.
"""

from pks4_lightning.models.towers.family import OPENAI, TowerFamily

__all__ = ["AIMV2"]

AIMV2 = TowerFamily(
    name="AIMv2",
    model_type="aimv2_vision_model",
    whole_model_type="aimv2",
    config_class="Aimv2VisionConfig",
    model_class="Aimv2VisionModel",
    fields=(
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_channels",
        "image_size",
        "patch_size",
        "hidden_act",
        "rms_norm_eps",
        "qkv_bias",
        "mlp_bias",
        "attention_dropout",
        "initializer_range",
        "use_head",
        "is_native",
    ),
    blocks="encoder.layers",
    attention_norm="rms_norm1",
    attention_add="attention",
    has_class_token=False,
    frame_vector="pooling",
    any_size="fixed",
    free_if="is_native",
    undecayed=("rms_norm.weight", "rms_norm1.weight", "rms_norm2.weight", "cls_token"),
    left_behind=("text_model.", "text_projection.", "visual_projection.", "logit_scale"),
    whole_prefix="vision_model.",
    colours=OPENAI,
)
