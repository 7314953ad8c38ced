"""Hashes of settings, and a check that their data exists."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pks4_lightning.cli.settings import Settings, resolve
from pks4_lightning.models.saved_reading import FIRST_READING
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["config_hash", "require_data", "training_hash"]

_ELSEWHERE = frozenset(
    {
        *("seed_everything", "data.seed", "data.root", "data.videos", "data.token_cache"),
        "trainer.default_root_dir",
    }
)
"""Settings that distinguish repetitions and locations only."""
_VIEWS = frozenset({"data.num_clips", "data.num_crops"})
"""Settings that affect only a test."""
_HASH_LENGTH = 12


def config_hash(settings: Settings) -> str:
    """Hash the settings of a training and its test, ignoring seeds and folders.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        Twelve hexadecimal digits; equal settings have equal hashes.
    """
    return _digest(settings, without=_ELSEWHERE)


def training_hash(settings: Settings) -> str:
    """Hash the settings of a training only: trainings that differ in test views share the hash.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        Twelve hexadecimal digits.
    """
    return _digest(settings, without=_ELSEWHERE | _VIEWS)


def require_data(settings: Settings) -> None:
    """Check that the data set exists.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Raises:
        FileNotFoundError: If the folder of the data set does not exist.
        ValueError: If none is given.
    """
    root = settings["data"]["root"]
    if not root:
        raise ValueError("The configuration names no data set: add --data.root FOLDER.")
    if not Path(root).is_dir():
        raise FileNotFoundError(
            f"There is no data set in {root}"
            + did_you_mean_path(root, "see the configuration's header")
        )


def _digest(settings: Settings, *, without: frozenset[str]) -> str:
    """Hash settings that differ from their first defaults, so that new settings change no hash."""
    defaults = _defaults()
    kept = {
        name: value
        for name, value in _flat(settings)
        if name not in without and (name not in defaults or value != defaults[name])
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:_HASH_LENGTH]


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the defaults by dotted name; the number of classes has none.

    Where a default has changed since, it is the first one: otherwise results from before and after
    the change would have equal hashes.
    """
    defaults = dict(_flat(resolve(["--model.classifier.num_classes", "1"])))
    del defaults["model.classifier.num_classes"]
    defaults |= {f"model.classifier.{name}": value for name, value in FIRST_READING.items()}
    return defaults


def _flat(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
