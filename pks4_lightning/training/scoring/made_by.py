"""What the results in a folder were made by, so that nothing else adds to them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pks4_lightning.files import atomic_write

__all__ = ["check_made_by", "write_made_by"]


def write_made_by(record: Path, made_by: Mapping[str, Any]) -> None:
    """Write down what decides the results beside it.

    Args:
        record: The file.
        made_by: Values by name, as JSON can hold them.
    """
    with atomic_write(record) as path:
        path.write_text(json.dumps(made_by, indent=2) + "\n")


def check_made_by(record: Path, made_by: Mapping[str, Any], *, what: str) -> None:
    """Refuse to continue results that were made by something else.

    Args:
        record: From :func:`write_made_by`.
        made_by: What is to continue them.
        what: They are, in the plural.

    Raises:
        ValueError: If anything differs, with its name, or there is no record.
    """
    try:
        before = dict(json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        raise ValueError(
            f"The {what} in {record.parent} cannot be continued: there is no {record.name} "
            "that says what they were made by. Choose another folder with --out."
        ) from None
    for name in made_by.keys() | before.keys():
        if before.get(name) != made_by.get(name):
            raise ValueError(
                f"The {what} in {record.parent} cannot be continued: they were made with "
                f"{name} {before.get(name)}, and it is {made_by.get(name)} now. Choose another "
                "folder with --out."
            )
