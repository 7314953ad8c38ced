"""What is said about classifiers that were trained with another reading of the paper."""

from dataclasses import asdict

import pytest

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.saved_reading import (
    _note_once,
    different_readings,
    note_earlier_residual,
    with_first_reading,
)

BARE = {"use_variation": False, "use_correlation": False}


@pytest.fixture
def said(caplog):
    """The log of a process that has said nothing yet."""
    _note_once.cache_clear()
    with caplog.at_level("INFO", logger="pks4_lightning"):
        yield caplog
    _note_once.cache_clear()


@pytest.mark.parametrize("saved", [{}, {"residual": "single"}, {"use_variation": False}], ids=str)
def test_an_old_classifier_keeps_its_residual_and_this_is_said_once(said, saved):
    for _ in range(2):
        assert with_first_reading(saved)["residual"] == "single"
    (line,) = said.messages
    assert "residual: single" in line
    assert "post_prior" in line


@pytest.mark.parametrize(
    "classifier",
    [
        {},
        {"residual": "post_prior"},
        {"residual": "literal"},
        {"residual": "single", **BARE},
        {"residual": "single", "temporal": "aim"},
        {"residual": "single", "network": "videomamba_ti"},
    ],
    ids=str,
)
def test_nothing_is_said_where_the_residual_is_the_default_or_means_nothing(said, classifier):
    note_earlier_residual(classifier)
    assert not said.messages


TOWER = {"hidden_size": 16, "num_attention_heads": 2, "attention_dropout": 0.0}


def differing(saved, now):
    configs = (
        asdict(PKS4Config(num_classes=2, **({"backbone_config": TOWER} | given)))
        for given in (saved, now)
    )
    return different_readings(*configs)


@pytest.mark.parametrize(
    ("saved", "now", "expected"),
    [
        ({"residual": "single"}, {}, [("residual", "single", "post_prior")]),
        ({}, {"variation_ends": "negative"}, [("variation_ends", "zero", "negative")]),
        ({"causal": True}, {}, [("causal", True, False)]),
        ({"grid_size": 7}, {}, [("grid_size", 7, None)]),
        ({"insert_after": 4}, {}, [("insert_after", 4, 8)]),
        (
            {"context_frames": 0, "zero_context": "previous"},
            {"context_frames": 0},
            [("zero_context", "previous", "self")],
        ),
        ({"residual": "single", **BARE}, {"residual": "literal", **BARE}, [
            ("residual", "single", "literal")
        ]),
        ({"class_route": "tsm"}, {"class_route": "none"}, [("class_route", "tsm", "none")]),
        (
            {"class_route": "tsm", "route_from": 3, "tsm_shifts": "block"},
            {"class_route": "tsm"},
            [("route_from", 3, 1), ("tsm_shifts", "block", "attention")],
        ),
        ({"temporal": "tsm"}, {"temporal": "frame_average"}, [
            ("temporal", "tsm", "frame_average")
        ]),
        (
            {},
            {"backbone_config": TOWER | {"num_attention_heads": 4}},
            [("backbone_config.num_attention_heads", 2, 4)],
        ),
        (
            {"preprocessing": {"mean": [0.0] * 3, "std": [1.0] * 3, "size": 224}},
            {"preprocessing": {"mean": [0.5] * 3, "std": (1.0,) * 3, "size": 112}},
            [("preprocessing.mean", [0.0] * 3, [0.5] * 3)],
        ),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_change_the_function_of_equal_weights_are_listed(saved, now, expected):
    assert differing(saved, now) == expected


@pytest.mark.parametrize(
    ("saved", "now"),
    [
        ({"zero_context": "previous", "tsm_shifts": "block"}, {}),
        ({"residual": "single", **BARE}, BARE),
        ({"variation_ends": "negative", "context_frames": 0}, {"context_frames": 0}),
        ({"temporal": "aim", "residual": "single", "causal": False}, {"temporal": "aim"}),
        ({"class_route": "none", "route_from": 2, **BARE}, {"class_route": "none", **BARE}),
        ({"prior_init": "zero", "dt_max": 1.0, "prior_precision": "fp32", "compile": True}, {}),
        ({}, {"backbone_config": TOWER | {"attention_dropout": 0.5}}),
    ],
    ids=str,
)
def test_settings_that_are_not_in_use_or_change_only_the_training_are_not(saved, now):
    assert differing(saved, now) == []
