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


@pytest.mark.parametrize(
    ("saved", "now", "names"),
    [
        ({"residual": "single"}, {}, ["residual single there, post_prior here"]),
        ({}, {"variation_ends": "negative"}, ["variation_ends zero there, negative here"]),
        (
            {"zero_context": "previous", "tsm_shifts": "block"},
            {},
            ["zero_context previous there, self here", "tsm_shifts block there, attention here"],
        ),
        ({"residual": "single"}, BARE, []),
        ({"residual": "single"}, {"temporal": "aim"}, []),
        ({"prior_init": "zero", "dt_max": 1.0, "prior_precision": "fp32"}, {}, []),
    ],
    ids=str,
)
def test_readings_that_change_the_function_of_equal_weights_are_listed(saved, now, names):
    first = asdict(PKS4Config(num_classes=2)) | saved
    assert different_readings(first, asdict(PKS4Config(num_classes=2, **now))) == names
