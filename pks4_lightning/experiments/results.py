"""The ablations' results: one tidy file, and tables of ours beside the paper's."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.table import Table

from pks4_lightning.files import atomic_write
from pks4_lightning.paper.rows import PlannedRow

__all__ = [
    "Result",
    "read_results",
    "results_table",
    "summarise",
    "update_results",
    "write_results",
]


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row of a table, trained and tested with one seed."""

    table: int
    row: str
    seed: int
    params: int
    gflops: float
    """Per view, as the paper counts: multiply-adds without the attention's two products."""
    top1: float
    """Share of the test videos, 0 to 1, over all views."""
    top5: float
    seconds: float
    """Of the training by the clock on the wall, validation included, start-up not."""
    peak_memory_mb: float
    """Of the training, in MiB: allocated on a GPU, resident on a CPU."""
    commit: str
    config_hash: str


def read_results(path: Path) -> list[Result]:
    """Read a results file.

    Args:
        path: A CSV file with the fields of :class:`Result` as columns, in any order.

    Returns:
        The results in the file's order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If columns are missing, or a value is none of its column's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There are no results {path}.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = {field.name: field.type for field in fields(Result)}
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}.")
        results = []
        for line in reader:
            try:
                values = {name: kind(line[name]) for name, kind in columns.items()}  # type: ignore[operator]
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}.") from None
            results.append(Result(**values))
    return results


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write a results file, whole or not at all.

    Args:
        path: Where to write.
        results: In the file's order.
    """
    with atomic_write(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Result)])
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)


def update_results(path: Path, results: Sequence[Result]) -> list[Result]:
    """Put results into a file; those of other tables, rows and seeds stay in it.

    Args:
        path: The results file; made if it is not there.
        results: New ones, or ones that are there already.

    Returns:
        All results of the file, by table.

    Raises:
        ValueError: If the file is no results file.
    """
    before = read_results(path) if path.is_file() else []
    merged = {(each.table, each.row, each.seed): each for each in (*before, *results)}
    after = sorted(merged.values(), key=lambda each: each.table)
    write_results(path, after)
    return after


def summarise(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Average the rows over their seeds.

    Args:
        results: Of any tables.

    Returns:
        One dictionary per row, in order: ``table``, ``row``, ``seeds``, and the means of top-1,
        top-5 and seconds, for several seeds with their standard deviations.
    """
    groups: dict[tuple[int, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.table, result.row), []).append(result)
    rows = []
    for (table, name), group in groups.items():
        row: dict[str, Any] = {"table": table, "row": name, "seeds": len(group)}
        row |= {"params": group[0].params, "gflops": group[0].gflops}
        for measure in ("top1", "top5", "seconds"):
            values = [getattr(each, measure) for each in group]
            row[measure] = round(mean(values), 4)
            if len(values) > 1:
                row[f"{measure}_std"] = round(stdev(values), 4)
        rows.append(row)
    return rows


def results_table(number: int, rows: Sequence[PlannedRow], results: Sequence[Result]) -> Table:
    """Lay a table's results out beside the paper's.

    Args:
        number: The table.
        rows: Planned rows, of any tables.
        results: Of any tables; rows without any show dashes.

    Returns:
        Means over seeds, with standard deviations where there are several.
    """
    table = Table(
        title=f"Table {number}",
        caption="accuracies in %; ours: mean ± standard deviation over seeds",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,  # 80 columns are enough
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("row", overflow="fold", min_width=10)
    for heading in (
        "params",
        "GFLOPs",
        "paper\ntop-1",
        "\ntop-5",
        "ours\ntop-1",
        "\ntop-5",
        "seeds",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row.table != number:
            continue
        ours = [each for each in results if (each.table, each.row) == (number, row.name)]
        cells = row.paper.cells if row.paper else {}
        table.add_row(
            row.name + (f" (paper: {row.paper.name})" if _renamed(row) and row.paper else ""),
            f"{ours[0].params:,}" if ours else "–",
            f"{ours[0].gflops:.3g}" if ours else "–",
            cells.get("top1", "–"),
            cells.get("top5", "–"),
            _with_spread([each.top1 for each in ours]),
            _with_spread([each.top5 for each in ours]),
            str(len(ours)),
        )
    return table


def _renamed(row: PlannedRow) -> bool:
    return row.paper is not None and row.paper.name != row.name


def _with_spread(shares: Sequence[float]) -> str:
    if not shares:
        return "–"
    spread = f" ± {100.0 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100.0 * mean(shares):.1f}{spread}"
