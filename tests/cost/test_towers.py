"""Costs of every family of towers."""

import pytest
import torch

from pks4_lightning.cost.flops import count_flops
from pks4_lightning.cost.memory import peak_of_step
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.building import build_classifier
from tests.helpers.towers import CASES

T, P, D, LAYERS = 4, 16, 16, 3
POOLED = {"siglip", "aimv2 native"}
"""Towers whose head is an attention with one query."""


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "_"))
def name(request):
    return request.param


@pytest.fixture
def config(tiny, name):
    case = CASES[name]
    route = "token_t1d" if case.has_class_token else "pooled_t1d"
    return tiny(backbone_config=case.fields, class_route=route)


def test_parts_add_up_and_attention_counts_every_token(config, name):
    classifier = meta_classifier(config)
    parameters = count_parameters(classifier)
    assert sum(parameters.values()) == sum(p.numel() for p in classifier.parameters())
    assert ("pooled route" in parameters) == (not CASES[name].has_class_token)
    tower = count_flops(classifier, num_frames=T, frame_size=32)["vision tower"]
    tokens = CASES[name].num_prefix + P
    pooling = 2 * P * D if name in POOLED else 0
    assert tower.attention == T * (LAYERS * 2 * tokens**2 * D + pooling)


@pytest.mark.parametrize("name", ["siglip", "dinov3"], indirect=True)
def test_counting_memory_leaves_no_state_that_affects_a_real_pass(config):
    clips = ClipBatch(num_clips=2, num_frames=T, frame_size=32)
    first, again = (peak_of_step(config, clips, Precision()) for _ in range(2))
    assert first == again > 0
    logits = build_classifier(config)(torch.zeros(1, 3, T, 32, 32))
    assert type(logits) is torch.Tensor
    assert logits.isfinite().all()
