"""The reading of the paper that a saved classifier was trained with."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

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
_OF_PRIORS = ("residual", "zero_context", "variation_ends")


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
    if classifier.get("residual") == "single" and _has_priors(classifier):
        _note_once()


def different_readings(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the settings that let equal weights compute another function.

    Args:
        saved: Fields of the configuration that the weights were trained with, complete.
        now: Fields of the configuration that uses them, complete.

    Returns:
        Such as ``residual single there, post_prior here``.
    """
    names = [*(_OF_PRIORS if _has_priors(now) else ()), "tsm_shifts"]
    return [
        f"{name} {saved[name]} there, {now[name]} here"
        for name in names
        if saved[name] != now[name]
    ]


def _has_priors(classifier: Mapping[str, Any]) -> bool:
    is_pks4 = classifier.get("temporal", "pks4") == "pks4" and classifier.get("network") is None
    return is_pks4 and (
        classifier.get("use_variation", True) or classifier.get("use_correlation", True)
    )


@functools.cache
def _note_once() -> None:
    logger.info(
        "This classifier adds the scan to the tokens without their priors (residual: single). That "
        "was the default of earlier versions and is kept here; new classifiers have post_prior. "
        "REPRODUCTION.md, Readings, R1, says why."
    )
