"""Record the settings that results were made with, so that only the same settings continue them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pks4_lightning.files import atomic_write

__all__ = ["check_made_by", "write_made_by"]


def write_made_by(record: Path, made_by: Mapping[str, Any]) -> None:
    """Write the settings that determine results beside them.

    Args:
        record: The file.
        made_by: Values by name, representable in JSON.
    """
    with atomic_write(record) as path:
        path.write_text(json.dumps(made_by, indent=2) + "\n")


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
        before = dict(json.loads(record.read_text()))
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
