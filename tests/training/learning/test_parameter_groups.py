import pytest
import torch
from torch.nn import Parameter

from pks4_lightning.training.learning.parameter_groups import clean_name, parameter_groups

NAMES = {
    "embed": 0,
    "block1.w": 1,
    "block1.b": 1,
    "block2.w": 2,
    "head.w": None,
    "pks4.A_log": None,
}


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
    with pytest.raises(KeyError, match="stranger"):
        groups([*NAMES, "stranger"])
