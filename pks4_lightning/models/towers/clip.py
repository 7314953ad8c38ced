"""CLIP's vision towers with their projection, and MetaCLIP 2's, which have the same layout.

Reference:
    Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    https://arxiv.org/abs/2103.00020.
    Chuang et al., "MetaCLIP 2: A Worldwide Scaling Recipe", 2025,
    https://arxiv.org/abs/2507.22062.
"""

from dataclasses import replace

from pks4_lightning.models.towers.family import OPENAI, InnerNames, TowerFamily

__all__ = ["CLIP", "METACLIP_2"]

CLIP = TowerFamily(
    name="CLIP",
    model_type="clip_vision_model",
    whole_model_type="clip",
    config_class="CLIPVisionConfig",
    model_class="CLIPVisionModelWithProjection",
    fields=(
        "hidden_size",
        "intermediate_size",
        "projection_dim",
        "num_hidden_layers",
        "num_attention_heads",
        "num_channels",
        "image_size",
        "patch_size",
        "hidden_act",
        "layer_norm_eps",
        "attention_dropout",
        "initializer_range",
        "initializer_factor",
    ),
    # in a complete CLIP model, both towers project to the width given at the top level
    outer_fields=("projection_dim",),
    blocks="vision_model.encoder.layers",
    attention_norm="layer_norm1",
    attention_add="self_attn",
    inner=InnerNames(
        attention="self_attn",
        queries="self_attn.q_proj",
        keys="self_attn.k_proj",
        mlp="mlp",
        embeddings="vision_model.embeddings",
        final_norm="vision_model.post_layernorm",
        projection="visual_projection",
    ),
    # [sic], as spelled in transformers
    before_blocks=("vision_model.embeddings", "vision_model.pre_layrnorm"),
    has_class_token=True,
    frame_vector="projection",
    width="projection_dim",
    any_size="flag",
    undecayed=("class_embedding",),
    left_behind=("text_model.", "text_projection.", "logit_scale"),
    colours=OPENAI,
)

METACLIP_2 = replace(
    CLIP,
    name="MetaCLIP 2",
    model_type="metaclip_2_vision_model",
    whole_model_type="metaclip_2",
    config_class="MetaClip2VisionConfig",
    model_class="MetaClip2VisionModelWithProjection",
)
