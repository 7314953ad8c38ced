"""The paper's tables as data."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.paper.tables import (
        Column,
        Row,
        Table,
        printed_digits,
        printed_number,
        read_table,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["Column", "Row", "Table", "printed_digits", "printed_number", "read_table"]
