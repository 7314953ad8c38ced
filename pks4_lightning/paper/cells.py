"""Recompute every cell of the paper's tables that follows from the architecture.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Tables 1-5 and 7.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from pks4_lightning.cost.memory import peak_of_step
from pks4_lightning.cost.throughput import measure
from pks4_lightning.cost.training_compute import training_eflops
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.counting import FRAME_SIZE, counts_of
from pks4_lightning.paper.tables import (
    Counting,
    Row,
    Table,
    printed_digits,
    printed_number,
    read_table,
)

__all__ = ["RECOMPUTED_TABLES", "Cell", "paper_cells"]

RECOMPUTED_TABLES = (1, 2, 3, 4, 5, 7)
TOLERANCE = 0.005
"""Tolerance for GFLOPs and EFLOPs; parameters must agree in every printed digit."""
_COLUMNS = (
    *("params", "params_delta", "training_memory"),
    *("gflops", "finetune_compute", "total_compute"),
)

Settings = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One number of the paper, and ours."""

    table: int
    row: str
    column: str
    paper: float
    ours: float
    status: Literal["holds", "explained", "estimate", "measured", "fails"]
    """``explained``: it deviates for a reason given in the table's file. Estimates and measured
    values carry no claim."""
    counts: dict[Counting, float] | None = None
    """For a number of operations: its value in every convention."""
    follows: Counting | None = None
    """The convention that the paper's number follows, which ours uses too."""
    is_peer: bool = False
    """Whether the row is of a method that the paper compares PKS^4 with."""

    @property
    def deviation(self) -> float:
        """Relative excess of ours over the paper's."""
        return self.ours / self.paper - 1


def paper_cells(tables: Sequence[int] = RECOMPUTED_TABLES, *, measured: bool = False) -> list[Cell]:
    """Compute the cells of tables, on a CPU, without weights or data.

    Args:
        tables: Numbers of the tables.
        measured: Measure the training memory on the GPU instead of estimating it.

    Returns:
        The cells, table by table and row by row.

    Raises:
        ValueError: If there is no such table, it has only accuracies, or there is no GPU to
            measure on.
    """
    if measured and not torch.cuda.is_available():
        raise ValueError(
            "Memory can be measured on a GPU only, and there is none here; leave --measure out."
        )
    for number in tables:
        read_table(number)
        if number not in RECOMPUTED_TABLES:
            raise ValueError(
                f"Table {number} of the paper contains only accuracies; costs are in tables "
                f"{', '.join(map(str, RECOMPUTED_TABLES))}."
            )
    return [cell for number in tables for cell in _cells(read_table(number), measured)]


def _cells(table: Table, measured: bool) -> Iterator[Cell]:
    described = [row for row in table.rows if row.settings]
    for row in described:
        for column in table.columns:
            paper = printed_number(row.cells[column.key])
            if paper is None or column.key not in _COLUMNS or column.key in row.underivable:
                continue
            assert row.settings is not None
            if column.key == "training_memory":
                # estimates for other methods are in a separate table, because each takes seconds
                if measured or not row.is_peer:
                    yield from _memory_cells(table, row, paper, measured)
                continue
            counts = _counted(row.settings, column.key)
            ours = _params(row.settings) if counts is None else counts[row.counting]
            if column.key == "params_delta":
                assert described[0].settings is not None
                ours -= _params(described[0].settings)
            yield Cell(
                table=table.number,
                row=row.name,
                column=column.title if column.title != "Δ" else "Δ Params",
                paper=paper,
                ours=ours,
                status=_status(row, column.key, paper, ours),
                counts=counts,
                follows=None if counts is None else row.counting,
                is_peer=row.is_peer,
            )


def _status(
    row: Row, key: str, paper: float, ours: float
) -> Literal["holds", "explained", "fails"]:
    if key.startswith("params"):
        holds = round(ours, printed_digits(row.cells[key])) == paper
    else:
        holds = abs(ours / paper - 1) <= TOLERANCE
    if holds:
        return "holds"
    return "explained" if key in row.deviates else "fails"


def _memory_cells(table: Table, row: Row, paper: float, measured: bool) -> Iterator[Cell]:
    """Yield the memory with and without gradient checkpointing; the paper does not say which."""
    settings = row.settings
    assert settings is not None
    clips = ClipBatch(
        num_clips=settings["batch_size"],
        num_frames=settings["num_frames"],
        frame_size=FRAME_SIZE,
    )
    ways = (("", False), (", gradient checkpointing", True))
    for note, checkpointing in ways[: 1 if row.is_peer else 2]:
        config = PKS4Config(**settings["classifier"], gradient_checkpointing=checkpointing)
        precision = Precision.named(settings["precision"])
        if measured:
            num_bytes = measure(config, clips, precision, num_rounds=1).peak_bytes
            assert num_bytes is not None
        else:
            num_bytes = peak_of_step(config, clips, precision)
        yield Cell(
            table=table.number,
            row=row.name,
            column=f"Training Memory ({'measured' if measured else 'estimate'}{note})",
            paper=paper,
            ours=num_bytes / 2**30,
            status="measured" if measured else "estimate",
            is_peer=row.is_peer,
        )


def _counted(settings: Settings, key: str) -> dict[Counting, float] | None:
    """Count operations in every convention, in the unit of a column; ``None`` for other columns."""
    operations = counts_of(settings).operations
    match key:
        case "gflops":
            views = settings["num_clips"] * settings["num_crops"]
            return {way: views * count / 1e9 for way, count in operations.items()}
        case "finetune_compute" | "total_compute":
            terms = {"num_videos": settings["num_videos"], "num_epochs": settings["max_epochs"]}
            return {way: training_eflops(count, **terms) for way, count in operations.items()}
    return None


def _params(settings: Settings) -> float:
    """Return the number of trained parameters, in millions."""
    return counts_of(settings).trained / 1e6
