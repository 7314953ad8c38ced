"""The paper's Tables 1-9, with cells as printed.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 4. The paper is licensed under CC BY-SA 4.0.
"""

import functools
import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

__all__ = [
    "NUM_TABLES",
    "OWN_COUNTING",
    "Column",
    "Counting",
    "Row",
    "Table",
    "printed_digits",
    "printed_number",
    "read_table",
]

NUM_TABLES = 9

Counting = Literal["without attention", "with attention", "projections"]
"""Without the attention's products; with all matrix products, scans and normalisations; or only the
patch embedding and the projections into and out of VideoMamba's mixers."""
OWN_COUNTING: Counting = "without attention"
"""The convention for PKS^4 in the paper."""
_NUMBER = re.compile(r"\d+(?:\.(\d+))?")


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    title: str
    """As printed."""
    unit: str
    """Unit of its numbers, empty for a column that names the row. M: millions; EFLOPs: 10^18."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    cells: dict[str, str]
    """Printed cell by column key: empty if nothing is printed, ``-`` where the paper has that."""
    name: str
    """Name that distinguishes the row within its table."""
    settings: dict[str, Any] | None
    """For rows of PKS^4, its ablations and the methods implemented here, their settings:
    ``classifier``, the fields of ``PKS4Config``; ``num_frames``, ``num_clips``, ``num_crops``;
    ``frame_size`` if it is not 224; where the column needs them, ``batch_size``, ``precision``,
    ``max_epochs``, ``num_videos``."""
    deviates: dict[str, str]
    """By column key, the reason why a number does not follow from the settings."""
    note: str
    """Further remarks for the reader."""
    counting: Counting
    """The convention of its numbers of operations."""
    underivable: dict[str, str]
    """By column key, the reason why a number cannot be computed."""

    @property
    def is_peer(self) -> bool:
        """Whether it is of a method that the paper compares PKS^4 with."""
        return self.counting != OWN_COUNTING


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    number: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sets: tuple[str, ...]
    """For an ablation, the settings of ``pks4 fit`` that its rows change, with their values in
    :attr:`Row.settings`."""

    def column(self, key: str) -> Column:
        """Return the column with a key.

        Args:
            key: As in ``Row.cells``.
        """
        return next(column for column in self.columns if column.key == key)


@functools.cache
def read_table(number: int) -> Table:
    """Read a table of the paper.

    Args:
        number: 1 to 9.

    Raises:
        ValueError: If the paper has no such table.
    """
    if not 1 <= number <= NUM_TABLES:
        raise ValueError(f"The paper has no table {number}; its tables are 1 to {NUM_TABLES}.")
    raw = json.loads(
        files("pks4_lightning.paper").joinpath(f"table_{number}.json").read_text(encoding="utf-8")
    )
    columns = tuple(Column(**column) for column in raw["columns"])
    return Table(
        number=raw["table"],
        columns=columns,
        rows=tuple(_read_row(row, columns) for row in raw["rows"]),
        sets=tuple(raw.get("sets", ())),
    )


def printed_number(cell: str) -> float | None:
    """Return the first number of a cell in the column's unit, or ``None`` if there is none.

    Args:
        cell: As printed.

    Example:
        >>> printed_number("2.9521E (20 epochs)"), printed_number("-")
        (2.9521, None)
    """
    found = _NUMBER.search(cell)
    return float(found.group()) if found else None


def printed_digits(cell: str) -> int:
    """Count the decimal places of a cell's number.

    Args:
        cell: As printed.

    Example:
        >>> printed_digits("↑3.77M"), printed_digits("92M")
        (2, 0)
    """
    found = _NUMBER.search(cell)
    return len(found.group(1) or "") if found else 0


def _read_row(raw: dict[str, Any], columns: tuple[Column, ...]) -> Row:
    words = [raw[column.key] for column in columns if not column.unit]
    return Row(
        cells={column.key: raw[column.key] for column in columns},
        name=raw.get("group", "") + ": " * ("group" in raw) + " ".join(words),
        settings=raw.get("settings"),
        deviates=raw.get("deviates", {}),
        note=raw.get("note", ""),
        counting=raw.get("counting", OWN_COUNTING),
        underivable=raw.get("underivable", {}),
    )
