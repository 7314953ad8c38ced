"""Every cell of the paper's tables that follows from the architecture, computed again.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Tables 1-5 and 7.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.memory import peak_of_step
from pks4_lightning.cost.parameters import count_parameters, describe
from pks4_lightning.cost.throughput import measure
from pks4_lightning.cost.training_compute import training_eflops
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.tables import Row, Table, printed_digits, printed_number, read_table

__all__ = ["RECOMPUTED_TABLES", "Cell", "paper_cells"]

RECOMPUTED_TABLES = (1, 2, 3, 4, 5, 7)
TOLERANCE = 0.005
"""Of GFLOPs and EFLOPs; parameters must agree in every printed digit."""
_FRAME_SIZE = 224

Settings = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One number of the paper beside ours."""

    table: int
    row: str
    column: str
    paper: float
    ours: float
    status: Literal["holds", "explained", "estimate", "measured", "fails"]
    """Explained: it deviates, for a reason that the table's file gives. Estimates and
    what was measured promise nothing."""

    @property
    def deviation(self) -> float:
        """How much more ours is, as a share of the paper's."""
        return self.ours / self.paper - 1


def paper_cells(tables: Sequence[int] = RECOMPUTED_TABLES, *, measured: bool = False) -> list[Cell]:
    """Compute the cells of some tables, on a CPU, without weights or data.

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
            "There is no GPU here whose memory could be measured; leave --measure out."
        )
    for number in tables:
        read_table(number)
        if number not in RECOMPUTED_TABLES:
            raise ValueError(
                f"Table {number} of the paper holds accuracies only; costs are in tables "
                f"{', '.join(map(str, RECOMPUTED_TABLES))}."
            )
    return [cell for number in tables for cell in _cells(read_table(number), measured)]


def _cells(table: Table, measured: bool) -> Iterator[Cell]:
    described = [row for row in table.rows if row.settings]
    for row in described:
        for column in table.columns:
            paper = printed_number(row.cells[column.key])
            if paper is None or column.key not in (*_OURS, "params_delta", "training_memory"):
                continue
            assert row.settings is not None
            if column.key == "training_memory":
                yield from _memory_cells(table, row, paper, measured)
                continue
            if column.key == "params_delta":
                assert described[0].settings is not None
                ours = _params(row.settings) - _params(described[0].settings)
            else:
                ours = _OURS[column.key](row.settings)
            yield Cell(
                table=table.number,
                row=row.name,
                column=column.title if column.title != "Δ" else "Δ Params",
                paper=paper,
                ours=ours,
                status=_status(row, column.key, paper, ours),
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
    """Give the memory with and without gradient checkpointing: the paper does not say which."""
    settings = row.settings
    assert settings is not None
    clips = ClipBatch(
        num_clips=settings["batch_size"],
        num_frames=settings["num_frames"],
        frame_size=_FRAME_SIZE,
    )
    for note, checkpointing in (("", False), (", gradient checkpointing", True)):
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
        )


def _params(settings: Settings) -> float:
    """Millions of parameters."""
    return _counts(json.dumps(settings["classifier"]), settings["num_frames"])[0]


def _gflops(settings: Settings) -> float:
    """10^9 operations for all views of a video."""
    views = settings["num_clips"] * settings["num_crops"]
    return views * _counts(json.dumps(settings["classifier"]), settings["num_frames"])[1] / 1e9


def _eflops(settings: Settings) -> float:
    per_view = _counts(json.dumps(settings["classifier"]), settings["num_frames"])[1]
    return training_eflops(
        per_view, num_videos=settings["num_videos"], num_epochs=settings["max_epochs"]
    )


_OURS: dict[str, Callable[[Settings], float]] = {
    "params": _params,
    "gflops": _gflops,
    "finetune_compute": _eflops,
    "total_compute": _eflops,
}


@functools.cache
def _counts(classifier_settings: str, num_frames: int) -> tuple[float, int]:
    """Count a classifier's parameters, in millions, and the operations of one view."""
    classifier = describe(PKS4Config(**json.loads(classifier_settings)))
    flops = count_flops(classifier, num_frames=num_frames, frame_size=_FRAME_SIZE)
    return sum(count_parameters(classifier).values()) / 1e6, total_flops(flops).paper
