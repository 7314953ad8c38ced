import math

import pytest

from pks4_lightning.training.learning.recipe import Recipe, lr_factor

SCHEDULE = {"total_steps": 100, "warmup_steps": 20, "floor": 0.01}


def test_warm_up_is_linear_from_zero():
    assert [lr_factor(step, **SCHEDULE) for step in (0, 5, 10)] == [0.0, 0.25, 0.5]


def test_the_peak_is_at_the_end_of_the_warm_up():
    assert lr_factor(20, **SCHEDULE) == 1.0
    assert all(lr_factor(step, **SCHEDULE) < 1 for step in range(100) if step != 20)


def test_cosine_halves_at_its_middle_and_ends_at_the_floor():
    assert lr_factor(60, **SCHEDULE) == pytest.approx((1 + 0.01) / 2)
    assert lr_factor(100, **SCHEDULE) == pytest.approx(0.01)
    assert lr_factor(1000, **SCHEDULE) == pytest.approx(0.01)


def test_matches_the_cosine_written_out():
    for step in range(20, 100):
        cosine = math.cos(math.pi * (step - 20) / 80)
        assert lr_factor(step, **SCHEDULE) == pytest.approx(0.01 + 0.99 * (1 + cosine) / 2)


def test_without_warm_up_starts_at_the_peak():
    assert lr_factor(0, total_steps=10, warmup_steps=0, floor=0.0) == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_lr", 0.0),
        ("layer_decay", 1.5),
        ("layer_decay", -0.1),
        ("weight_decay", -1.0),
        ("label_smoothing", 1.2),
        ("mix_prob", -0.1),
        ("min_lr", 1.0),
        ("reference_batch", 0),
        ("warmup_epochs", -1.0),
        ("clips_per_pass", 0),
        *((name, math.nan) for name in ("base_lr", "min_lr", "weight_decay", "mix_prob")),
        *((name, math.inf) for name in ("base_lr", "warmup_epochs")),
        *((name, "x") for name in ("trains", "embedding_rate", "class_weights", "clips_per_pass")),
        ("clips_per_pass", 2.5),
        ("reference_batch", "8"),
        ("decay_class_route", 1),
    ],
)
def test_impossible_values_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"recipe\.{field} is {value!r}; it must be "):
        Recipe(**{field: value})


def test_impossible_values_in_a_list_are_refused_by_their_place():
    with pytest.raises(ValueError, match=r"recipe\.betas\[0\] is 1\.5; it must be .* below 1"):
        Recipe(betas=(1.5, 0.9))
    with pytest.raises(ValueError, match=r"class_weights is \[0, 0\]; a weight must be above 0"):
        Recipe(class_weights=[0, 0])
