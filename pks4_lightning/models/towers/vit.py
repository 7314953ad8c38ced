"""The plain vision transformer.

The vector of a frame is its class token after the last norm; the tanh layer after it in the
original code is omitted.

Reference:
    Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, https://arxiv.org/abs/2010.11929.
"""

from pks4_lightning.models.towers.family import Colours, InnerNames, TowerFamily

__all__ = ["VIT"]

VIT = TowerFamily(
    name="ViT",
    model_type="vit",
    config_class="ViTConfig",
    model_class="ViTModel",
    model_arguments={"add_pooling_layer": False},
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
        "qkv_bias",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "initializer_range",
    ),
    blocks="layers",
    attention_norm="layernorm_before",
    attention_add="dropout",  # a block calls it after the attention and again after the MLP
    inner=InnerNames(
        attention="attention",
        queries="attention.q_proj",
        keys="attention.k_proj",
        mlp="mlp",
        embeddings="embeddings",
        final_norm="layernorm",
    ),
    has_class_token=True,
    frame_vector="class_token",
    any_size="flag",
    undecayed=("cls_token", "position_embeddings"),
    left_behind=("classifier.", "pooler."),
    colours=Colours((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)
