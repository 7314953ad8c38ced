"""The reading of the paper that a saved classifier was trained with."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

from pks4_lightning.models.settings_in_use import has_priors, settings_in_use

__all__ = ["FIRST_READING", "different_readings", "note_earlier_residual", "with_first_reading"]

logger = logging.getLogger(__name__)

FIRST_READING = {
    "scanner": "mamba",
    "residual": "single",
    "prior_init": "default",
    "prior_precision": "autocast",
    "dt_min": 0.001,
    "dt_max": 0.1,
    "zero_context": "self",
    "variation_ends": "zero",
    "tsm_shifts": "attention",
}
"""The reading of the paper before readings were configurable; independent of the defaults."""
_OF_TRAINING = ("dropout", "drop_path", "pos_embed_")


def with_first_reading(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a saved configuration from before readings were configurable.

    A configuration with the default residual of earlier versions is mentioned in the log.

    Args:
        saved: Fields of :class:`PKS4Config`.
    """
    completed = {**FIRST_READING, **saved}
    note_earlier_residual(completed)
    return completed


def note_earlier_residual(classifier: Mapping[str, Any]) -> None:
    """Log, once per process, that a classifier keeps the default residual of earlier versions.

    Args:
        classifier: Fields of :class:`PKS4Config`; those left out have their defaults.
    """
    if classifier.get("residual") == "single" and has_priors(classifier):
        _note_once()


def different_readings(
    saved: Mapping[str, Any], now: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """List the settings that let equal weights compute another function.

    Args:
        saved: Fields of the configuration that the weights were trained with, complete.
        now: Fields of the configuration that uses them, complete.

    Returns:
        Names, such as ``residual`` or ``backbone_config.num_attention_heads``, with the values
        there and here. A setting that only one of the two uses is not listed, but the setting that
        makes it so.
    """
    there, here = settings_in_use(saved), settings_in_use(now)
    return [
        (name, value, here[name])
        for name, value in there.items()
        if name in here and value != here[name] and not _is_of_training(name)
    ]


def _is_of_training(name: str) -> bool:
    """Return whether a setting has an effect in training only, or only on the frames' size."""
    return name == "preprocessing.size" or any(part in name for part in _OF_TRAINING)


@functools.cache
def _note_once() -> None:
    logger.info(
        "This classifier adds the scan to the tokens without their priors (residual: single). That "
        "was the default of earlier versions and is kept here; new classifiers have post_prior. "
        "REPRODUCTION.md, Readings, R1, says why."
    )
