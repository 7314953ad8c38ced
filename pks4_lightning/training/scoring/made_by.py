"""Record what results were made with: the checkpoint's weights, and some of the settings.

Only the same weights and settings continue results, and only results of its own weights and
settings stand on the card of a classifier.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pks4_lightning.files import sha256_of, write_json
from pks4_lightning.models.pretrained import weights_file

__all__ = ["SCORES", "TESTS", "check_made_by", "made_by", "made_otherwise", "write_made_by"]

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


def write_made_by(record: Path, made_by: Mapping[str, Any]) -> None:
    """Write the settings that determine results beside them.

    Args:
        record: The file.
        made_by: Values by name, representable in JSON.
    """
    write_json(record, made_by)


def check_made_by(record: Path, made_by: Mapping[str, Any], *, what: str) -> None:
    """Refuse to continue results that were made with other settings.

    Args:
        record: The file written by :func:`write_made_by`.
        made_by: The settings that are to continue them.
        what: Name of the results, in the plural.

    Raises:
        ValueError: If a setting differs (it is named), or there is no record.
    """
    try:
        before = dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise ValueError(
            f"The {what} in {record.parent} cannot be continued: there is no {record.name} "
            "that records how they were made. Choose another folder with --out."
        ) from None
    for name in made_by.keys() | before.keys():
        if before.get(name) != made_by.get(name):
            raise ValueError(
                f"The {what} in {record.parent} cannot be continued: they were made with "
                f"{name} {before.get(name)}, but it is now {made_by.get(name)}. Choose another "
                "folder with --out."
            )
