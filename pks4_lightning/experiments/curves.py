"""Convert results to the input of the figures."""

from collections.abc import Sequence

from pks4_lightning.experiments.results import Result
from pks4_lightning.pictures.trade_offs import Point, Sweep

__all__ = ["result_points", "result_sweep"]


def result_sweep(results: Sequence[Result], table: int) -> Sweep:
    """Gather the accuracies of a table's rows, seed by seed.

    Args:
        results: Results of any tables.
        table: Number of the table.
    """
    rows: dict[str, list[float]] = {}
    for result in results:
        if result.table == table:
            rows.setdefault(result.row, []).append(100 * result.top1)
    return Sweep(list(rows), list(rows.values()))


def result_points(results: Sequence[Result], cost: str) -> list[Point]:
    """Return every result as a point of accuracy against one of its costs.

    Args:
        results: Results of any tables.
        cost: ``gflops``, ``peak_memory_mb`` (in MiB), ``seconds`` or ``params``.
    """
    return [
        Point(result.row, getattr(result, cost), 100 * result.top1, f"Table {result.table}")
        for result in results
    ]
