"""What the arguments of a training come to, and a short name for it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, fields
from inspect import signature
from pathlib import Path
from typing import Any

import yaml

from pks4_lightning.cli.safe_yaml import load_config
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.models.config import PKS4Config

__all__ = ["Settings", "config_hash", "read_settings", "training_hash"]

Settings = dict[str, Any]
"""Nested plain values, as in a configuration file."""

_ELSEWHERE = {"seed_everything", "data.seed", "data.root", "trainer.default_root_dir"}
"""What tells repetitions and places apart, not settings."""
_VIEWS = {"data.num_clips", "data.num_crops"}
"""What only a test goes by."""
_CLIPS = ("num_frames", "frame_size", "num_clips", "num_crops")
_HASH_LENGTH = 12


def read_settings(arguments: Sequence[str]) -> Settings:
    """Merge configuration files and single settings, those further to the right winning.

    Args:
        arguments: Of ``pks4 fit``: ``--config FILE``, ``--setting VALUE`` or ``--setting=VALUE``.

    Returns:
        The settings, with the defaults of the classifier and of clips and views filled in.

    Raises:
        FileNotFoundError: If a configuration file is missing.
        ValueError: If an argument has no value, a file no settings, or there is no classifier.
    """
    settings: Settings = {}
    for name, value in _pairs(arguments):
        if name == "config":
            _merge(settings, _read_file(Path(value)))
            continue
        nested: Any = yaml.safe_load(value)
        for key in reversed(name.split(".")):
            nested = {key: nested}
        _merge(settings, nested)
    classifier = settings.get("model", {}).get("classifier")
    if not classifier:
        raise ValueError(
            "The configuration has no model.classifier to vary; see configs/ssv2.yaml."
        )
    settings["model"]["classifier"] = asdict(PKS4Config(**classifier))
    settings["data"] = {**_clip_defaults(), **settings.get("data", {})}
    return settings


def config_hash(settings: Settings) -> str:
    """Name the settings of a training and its test, whatever the seed and the folders.

    Args:
        settings: From :func:`read_settings`.

    Returns:
        Twelve hexadecimal digits; equal settings have equal ones.
    """
    return _digest(settings, without=_ELSEWHERE)


def training_hash(settings: Settings) -> str:
    """Name the settings of a training alone: trainings that differ in test views share it.

    Args:
        settings: From :func:`read_settings`.

    Returns:
        Twelve hexadecimal digits.
    """
    return _digest(settings, without=_ELSEWHERE | _VIEWS)


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield names and values of options in both spellings."""
    waiting = iter(arguments)
    for argument in waiting:
        name, has_value, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not name:
            raise ValueError(f"{argument!r} is neither an option of `pks4 fit` nor its value.")
        if not has_value:
            found = next(waiting, None)
            if found is None or found.startswith("--"):
                raise ValueError(f"{argument} needs a value.")
            value = found
        yield name, value


def _read_file(path: Path) -> Settings:
    if not path.is_file():
        raise FileNotFoundError(f"There is no configuration {path}.")
    content = load_config(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no settings.")
    return content


def _merge(settings: Settings, other: Settings) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            _merge(settings[key], value)
        else:
            settings[key] = deepcopy(value)


def _digest(settings: Settings, *, without: set[str]) -> str:
    """Hash what is not a default: a setting that is added later changes no hash."""
    defaults = _defaults()
    kept = {
        name: value
        for name, value in _flat(settings)
        if name not in without and (name not in defaults or value != defaults[name])
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:_HASH_LENGTH]


def _defaults() -> dict[str, Any]:
    """Return the defaults that `read_settings` fills in, under their dotted names."""
    classifier = {field.name: field.default for field in fields(PKS4Config)}
    return dict(_flat({"model": {"classifier": classifier}, "data": _clip_defaults()}))


def _clip_defaults() -> dict[str, Any]:
    parameters = signature(VideoDataModule).parameters
    return {name: parameters[name].default for name in _CLIPS}


def _flat(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value under its dotted name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
