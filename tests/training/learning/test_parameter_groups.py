import pytest
import torch
from torch.nn import Parameter

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.training.learning.parameter_groups import (
    clean_name,
    layer_ids,
    no_weight_decay_names,
    parameter_groups,
)
from tests.helpers.towers import CASES, TINY_TOWER

NAMES = {
    "embed": 0,
    "block1.w": 1,
    "block1.b": 1,
    "block2.w": 2,
    "head.w": None,
    "pks4.A_log": None,
}


def build(fields=TINY_TOWER, **settings):
    config = PKS4Config(
        num_classes=5,
        pretrained=False,
        backbone_config=fields,
        insert_after=1,
        bidirectional=True,
        **settings,
    )
    with torch.device("meta"):
        return build_classifier(config)


@pytest.fixture
def classifier():
    return build()


def test_the_tower_may_have_a_lower_rate_than_new_parameters():
    found = groups(tower_rate=0.3)
    assert found["head.w"]["lr"] == 1.0
    assert found["block2.w"]["lr"] == pytest.approx(0.3 * 0.5)
    assert found["block1.w"]["lr"] == pytest.approx(0.3 * 0.25)


def groups(names=NAMES, **options):
    arguments = {
        "layer_ids": NAMES,
        "no_decay": {"embed", "block1.b", "pks4.A_log"},
        "lr": 1.0,
        "layer_decay": 0.5,
        "weight_decay": 0.05,
        **options,
    }
    parameters = [(name, Parameter(torch.zeros(2, 2))) for name in names]
    found = parameter_groups(parameters, **arguments)
    by_id = {id(parameter): clean_name(name) for name, parameter in parameters}
    return {by_id[id(p)]: group for group in found for p in group["params"]}


def test_rate_falls_by_the_decay_with_every_layer_below_the_head():
    lrs = {name: group["lr"] for name, group in groups().items()}
    assert lrs == {
        "head.w": 1.0,
        "pks4.A_log": 1.0,
        "block2.w": 0.5,
        "block1.w": 0.25,
        "block1.b": 0.25,
        "embed": 0.125,
    }


def test_only_the_named_parameters_go_without_weight_decay():
    decayed = {name for name, group in groups().items() if group["weight_decay"]}
    assert decayed == {"block1.w", "block2.w", "head.w"}


def test_every_parameter_lands_in_exactly_one_group():
    assert set(groups()) == set(NAMES)


def test_wrapped_names_find_their_layer():
    wrapped = [f"_fsdp_wrapped_module.{name}" for name in NAMES]
    assert groups(wrapped)["embed"]["lr"] == 0.125
    assert clean_name("a._orig_mod.b._checkpoint_wrapped_module.c") == "a.b.c"


def test_frozen_parameters_are_left_out():
    frozen = Parameter(torch.zeros(1), requires_grad=False)
    found = parameter_groups(
        [("embed", frozen)],
        layer_ids=NAMES,
        no_decay=set(),
        lr=1.0,
        layer_decay=0.5,
        weight_decay=0.0,
    )
    assert found == []


def test_an_unknown_parameter_is_not_passed_over():
    with pytest.raises(ValueError, match="stranger was added after"):
        groups([*NAMES, "stranger"])


def test_every_parameter_has_a_layer(classifier):
    assert set(layer_ids(classifier)) == {name for name, _ in classifier.named_parameters()}


def test_layers_count_from_the_pixels(classifier):
    ids = layer_ids(classifier)
    tower = "backbone.vision_model."
    for name in (
        "embeddings.class_embedding",
        "embeddings.patch_embedding.weight",
        "embeddings.position_embedding.weight",
        "pre_layrnorm.weight",
        "pre_layrnorm.bias",
    ):
        assert ids[tower + name] == 0
    assert ids[tower + "encoder.layers.0.mlp.fc1.weight"] == 1
    assert ids[tower + "encoder.layers.2.layer_norm2.bias"] == 3
    blocks = [depth for name, depth in ids.items() if ".encoder.layers." in name]
    assert sorted(set(blocks)) == [1, 2, 3]


def test_new_parameters_and_those_after_the_blocks_have_the_full_rate(classifier):
    ids = layer_ids(classifier)
    full = {name for name, depth in ids.items() if depth is None}
    expected = {name for name in ids if name.startswith(("pks4.", "class_route.", "head."))} | {
        "backbone.vision_model.post_layernorm.weight",
        "backbone.vision_model.post_layernorm.bias",
        "backbone.visual_projection.weight",
    }
    assert full == expected


def test_synchronised_batch_norm_keeps_every_parameter_in_its_group(classifier):
    ids, spared = layer_ids(classifier), no_weight_decay_names(classifier)
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(classifier)  # like Lightning
    options = {"lr": 1.0, "layer_decay": 0.5, "weight_decay": 0.05}
    groups = parameter_groups(
        converted.named_parameters(), layer_ids=ids, no_decay=spared, **options
    )
    assert sum(len(group["params"]) for group in groups) == len(ids)


def test_decay_spares_one_dimensional_parameters_embeddings_and_state_matrices(classifier):
    expected = {name for name, parameter in classifier.named_parameters() if parameter.ndim <= 1}
    expected |= {
        "backbone.vision_model.embeddings.position_embedding.weight",
        "pks4.scanner.A_log",
        "pks4.backward_scanner.A_log",
    }
    assert no_weight_decay_names(classifier) == expected
    assert "pks4.scanner.dt_proj.bias" in expected
    assert "backbone.vision_model.embeddings.class_embedding" in expected


EMBEDDINGS = {
    "clip": {"class_embedding", "position_embedding.weight"},
    "siglip": {"position_embedding.weight"},
    "dinov2 registers": {"cls_token", "mask_token", "register_tokens", "position_embeddings"},
    "dinov3": {"cls_token", "mask_token", "register_tokens"},
    "vit": {"cls_token", "position_embeddings"},
    "aimv2": {"position_embedding.weight"},
}


@pytest.mark.parametrize("family", EMBEDDINGS)
def test_embeddings_may_learn_at_the_full_rate_and_nothing_else_changes(family):
    case = CASES[family]
    classifier = build(case.fields, class_route="none")
    decayed = layer_ids(classifier)
    full = layer_ids(classifier, full_rate_embeddings=True)
    moved = {name for name, depth in decayed.items() if full[name] != depth}
    assert {full[name] for name in moved} == {None}
    assert {decayed[name] for name in moved} == {0}
    assert {name.rpartition("embeddings.")[2] for name in moved} == EMBEDDINGS[family]


@pytest.mark.parametrize("route", ["token_t1d", "pooled_t1d"])
def test_decay_may_spare_the_convolutions_of_class_tokens(route):
    classifier = build(class_route=route)
    spared = no_weight_decay_names(classifier, spare_class_route=True)
    taps = {
        name
        for name, _ in classifier.named_parameters()
        if name.startswith(("class_route.", "pooled_route."))
    }
    assert taps
    assert spared - no_weight_decay_names(classifier) == taps
