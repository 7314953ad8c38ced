"""What decides the results of a checkpoint: its weights, and some of the settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pks4_lightning.files import sha256_of
from pks4_lightning.models.pretrained import weights_file

__all__ = ["SCORES", "TESTS", "made_by", "made_otherwise"]

SCORES: Mapping[str, tuple[str, ...]] = {
    "data": (
        *("num_frames", "frame_rate", "frame_size", "resize", "num_clips", "num_crops"),
        *("mean", "std", "test_sampler", "frame_template"),
    ),
    "trainer": ("precision",),
}
"""Settings that the scores of a video depend on, besides the checkpoint."""

TESTS: Mapping[str, tuple[str, ...]] = {
    "data": (*SCORES["data"], "root", "format", "val", "test", "labels", "videos", "fold"),
    "trainer": (*SCORES["trainer"], "limit_test_batches", "fast_dev_run"),
}
"""Settings that the results of a test depend on: also those that choose its videos."""


def made_by(
    checkpoint: str | Path, settings: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return what decides results: the hash of the weights, and settings by name.

    Args:
        checkpoint: A checkpoint or an export.
        settings: All settings, or those that a checkpoint has.
        names: :data:`SCORES` or :data:`TESTS`.
    """
    found = {
        f"{section}.{key}": settings[section][key]
        for section, keys in names.items()
        for key in keys
        if key in settings.get(section, {})
    }
    return {"checkpoint": sha256_of(weights_file(checkpoint)), **found}


def made_otherwise(
    before: Mapping[str, Any], checkpoint: str | Path, settings: Mapping[str, Any]
) -> list[str]:
    """Return in what a test differs from one of a checkpoint with the checkpoint's own settings.

    Args:
        before: What the results of the test record, from :func:`made_by`.
        checkpoint: The checkpoint.
        settings: The settings in it.
    """
    own = made_by(checkpoint, settings, TESTS)
    return [name for name, value in own.items() if name not in before or before[name] != value]
