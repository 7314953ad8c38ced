"""Settings of trainings: a short name, equal for equal ones, and the data that they need."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pks4_lightning.cli.settings import Settings, resolve

__all__ = ["config_hash", "require_data", "training_hash"]

_ELSEWHERE = frozenset(
    {
        *("seed_everything", "data.seed", "data.root", "data.token_cache"),
        "trainer.default_root_dir",
    }
)
"""What tells repetitions and places apart, not settings."""
_VIEWS = frozenset({"data.num_clips", "data.num_crops"})
"""What only a test goes by."""
_HASH_LENGTH = 12


def config_hash(settings: Settings) -> str:
    """Name the settings of a training and its test, whatever the seed and the folders.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        Twelve hexadecimal digits; equal settings have equal ones.
    """
    return _digest(settings, without=_ELSEWHERE)


def training_hash(settings: Settings) -> str:
    """Name the settings of a training alone: trainings that differ in test views share it.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Returns:
        Twelve hexadecimal digits.
    """
    return _digest(settings, without=_ELSEWHERE | _VIEWS)


def require_data(settings: Settings) -> None:
    """Refuse to start without videos.

    Args:
        settings: From :func:`~pks4_lightning.cli.settings.resolve`.

    Raises:
        FileNotFoundError: If the folder of the data set is not there.
        ValueError: If none is named.
    """
    root = settings["data"]["root"]
    if not root:
        raise ValueError("The configuration names no data set: add --data.root FOLDER.")
    if not Path(root).is_dir():
        raise FileNotFoundError(f"There is no data set in {root}; see the configuration's header.")


def _digest(settings: Settings, *, without: frozenset[str]) -> str:
    """Hash what is not a default: a setting that is added later changes no hash."""
    defaults = _defaults()
    kept = {
        name: value
        for name, value in _flat(settings)
        if name not in without and (name not in defaults or value != defaults[name])
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:_HASH_LENGTH]


@functools.cache
def _defaults() -> dict[str, Any]:
    """Return the defaults under their dotted names; the number of classes has none."""
    defaults = dict(_flat(resolve(["--model.classifier.num_classes", "1"])))
    del defaults["model.classifier.num_classes"]
    return defaults


def _flat(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value under its dotted name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
