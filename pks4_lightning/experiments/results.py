"""Results of experiments: a tidy file, and tables of means and standard deviations."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, get_type_hints

from rich.table import Table

from pks4_lightning.experiments.plan import Arm
from pks4_lightning.files import write_csv
from pks4_lightning.suggestions import did_you_mean_path
from pks4_lightning.tables import new_table

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
    """Number of the paper's table; 0 for none."""
    row: str
    seed: int
    params: int
    gflops: float
    """GFLOPs per view in the paper's convention, without the attention's two products."""
    top1: float
    """Accuracy on the test videos, 0 to 1, over all views."""
    top5: float
    seconds: float
    """Wall-clock seconds of the training, including validation but not start-up."""
    peak_memory_mb: float
    """Peak memory of the training in MiB: allocated on a GPU, resident on a CPU."""
    commit: str
    config_hash: str
    fold: int = 0
    """Held-out fold, counted from 1; 0 for the data set's own split."""
    measures: dict[str, float] = field(default_factory=dict)
    """Further measures of an experiment, 0 to 1; each is a column of the file."""

    def value(self, name: str) -> float:
        """Return a value of the result.

        Args:
            name: Such as ``top1``, or one of the further measures.
        """
        return self.measures[name] if name in self.measures else getattr(self, name)


_COSTS = {"params": ("params", ",.0f"), "gflops": ("GFLOPs", ".3g"), "seconds": ("seconds", ",.0f")}
"""Heading and format of the cost columns of a table."""
_COLUMNS = {name: kind for name, kind in get_type_hints(Result).items() if name != "measures"}
_ADDED = ("fold",)
"""Columns that files of earlier versions lack."""


def read_results(path: Path) -> list[Result]:
    """Read a results file.

    Args:
        path: A CSV file with the fields of :class:`Result` as columns, in any order.

    Returns:
        The results in the file's order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If columns are missing, or a value is invalid.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There are no results {path}{did_you_mean_path(path)}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or ()
        missing = [name for name in _COLUMNS if name not in (*names, *_ADDED)]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}.")
        others = [name for name in names if name not in _COLUMNS]
        results = []
        for line in reader:
            try:
                values = {n: kind(line[n]) for n, kind in _COLUMNS.items() if n in line}
                measures = {name: float(line[name]) for name in others if line[name]}
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}.") from None
            results.append(Result(**values, measures=measures))
    return results


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write a results file atomically.

    Args:
        path: The file.
        results: The results in the file's order.
    """
    names = list(dict.fromkeys((*_COLUMNS, *(name for each in results for name in each.measures))))
    lines = (
        [getattr(each, name) if name in _COLUMNS else each.measures.get(name, "") for name in names]
        for each in results
    )
    write_csv(path, names, lines)


def update_results(path: Path, results: Sequence[Result]) -> list[Result]:
    """Merge results into a file; those of other tables, rows, seeds and folds are kept.

    Args:
        path: The results file; created if it does not exist.
        results: New or existing results. They follow the others in this order, whichever was
            finished first.

    Returns:
        All results of the file, by table.

    Raises:
        ValueError: If the file is not a results file.
    """
    before = read_results(path) if path.is_file() else []
    ours = {_place(each) for each in results}
    others = [each for each in before if _place(each) not in ours]
    after = sorted((*others, *results), key=lambda each: each.table)
    if after != before:
        write_results(path, after)
    return after


def _place(result: Result) -> tuple[int, str, int, int]:
    return result.table, result.row, result.seed, result.fold


def summarise(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Average the rows over their seeds.

    Args:
        results: Results of any tables.

    Returns:
        One dictionary per row, in order: ``table``, ``row``, ``seeds``, and the means of all
        measures and of the seconds; for several seeds also standard deviations under ``_std``.
    """
    groups: dict[tuple[int, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.table, result.row), []).append(result)
    rows = []
    for (table, name), group in groups.items():
        row: dict[str, Any] = {"table": table, "row": name, "seeds": _num_seeds(group)}
        row |= {"params": group[0].params, "gflops": group[0].gflops}
        for measure in ("top1", "top5", *group[0].measures, "seconds"):
            values = [each.value(measure) for each in group]
            row[measure] = round(mean(values), 4)
            if len(values) > 1:
                row[f"{measure}_std"] = round(stdev(values), 4)
        rows.append(row)
    return rows


def results_table(
    arms: Sequence[Arm],
    results: Sequence[Result],
    *,
    title: str,
    shares: Sequence[str] = ("top1", "top5"),
    costs: Sequence[str] = ("params", "gflops"),
    caption: str = "",
) -> Table:
    """Format results for a terminal of 80 columns, with the paper's results where it has them.

    Args:
        arms: The rows.
        results: Results of these and any other arms; arms without results show dashes.
        title: Title of the table.
        shares: Measures to show in percent: means over seeds, with standard deviations if there are
            several.
        costs: Any of ``params``, ``gflops`` and ``seconds``.
        caption: Text after the explanation of the numbers.
    """
    table = new_table(
        title,
        caption=f"in %, mean ± standard deviation over seeds{'; ' * bool(caption)}{caption}",
        dense=True,
    )
    has_paper = any(arm.paper for arm in arms)
    headings = [name.replace("top", "top-") for name in shares]
    printed = ["paper\ntop-1", "\ntop-5"] if has_paper else []
    ours = [f"ours\n{headings[0]}", *(f"\n{each}" for each in headings[1:])]
    table.add_column("row", overflow="fold", min_width=10)
    for heading in (
        *(_COSTS[name][0] for name in costs),
        *printed,
        *(ours if has_paper else headings),
        "seeds",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm in arms:
        found = [each for each in results if (each.table, each.row) == (arm.table, arm.name)]
        cells = arm.paper.cells if arm.paper else {}
        is_renamed = arm.paper is not None and arm.paper.name != arm.name
        table.add_row(
            arm.name + (f" (paper: {arm.paper.name})" if arm.paper and is_renamed else ""),
            *(_mean(found, name, _COSTS[name][1]) for name in costs),
            *(cells.get(name, "–") for name in ("top1", "top5") if has_paper),
            *(_with_spread([each.value(name) for each in found]) for name in shares),
            str(_num_seeds(found)),
        )
    return table


def _num_seeds(results: Sequence[Result]) -> int:
    return len({result.seed for result in results})


def _mean(results: Sequence[Result], name: str, form: str) -> str:
    return format(mean(each.value(name) for each in results), form) if results else "–"


def _with_spread(shares: Sequence[float]) -> str:
    if not shares:
        return "–"
    spread = f" ± {100.0 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100.0 * mean(shares):.1f}{spread}"
