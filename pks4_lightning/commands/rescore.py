"""``pks4 rescore``: recompute a test's accuracy for any subset of its views, without a GPU."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from pks4_lightning.tables import print_tables
from pks4_lightning.training.scoring.view_scores import ViewScores, accuracy, interval

__all__ = ["add_arguments", "rescore", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Recompute the accuracy for any subset of a test's views from the view_scores.npz that "
        "`pks4 test` wrote. View index = clip × crops + crop."
    )
    parser.epilog = "example: pks4 rescore runs/ssv2_b16_f8/test/view_scores.npz --views 0 1 2"
    parser.add_argument("scores", type=Path, help="view_scores.npz of a test")
    parser.add_argument(
        "--views", type=int, nargs="+", help="indices of the views to average; default: all"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> None:
    """Rescore the views of a finished test.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        ValueError: If the file contains no scores of a test.
    """
    rows = rescore(ViewScores.load(arguments.scores), arguments.views)
    if arguments.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        print_tables(_as_table(rows))


def rescore(views: ViewScores, chosen: Sequence[int] | None) -> list[dict[str, Any]]:
    """Score the chosen views together; if none are chosen, score all views and each view alone.

    Args:
        views: The scores of a test.
        chosen: Indices of views; ``None`` means all.

    Returns:
        Rows with ``views``, ``num_videos``, ``top1``, ``top5`` and 95 % intervals.

    Raises:
        ValueError: If labels are unknown, or a video lacks a view.
    """
    if not len(views.label) or (views.label < 0).any():
        raise ValueError("Some videos have no labels; only the views of a test can be rescored.")
    every = sorted(set(views.view_index.tolist()))
    subsets: list[tuple[str, list[int] | None]] = []
    if chosen is None:
        subsets.append(("all", None))
        subsets += [(str(view), [view]) for view in every]
    else:
        subsets.append((" ".join(map(str, chosen)), list(chosen)))
    rows = []
    for name, subset in subsets:
        result = views.per_video(subset)
        row: dict[str, Any] = {"views": name, "num_videos": len(result.label)}
        for k in (1, 5):
            row[f"top{k}"] = round(accuracy(result, k), 6)
            row[f"top{k}_interval"] = [round(share, 6) for share in interval(result, k)]
        rows.append(row)
    return rows


def _as_table(rows: list[dict[str, Any]]) -> Table:
    table = Table("views", "videos", "top-1 %", "95 % interval", "top-5 %", "95 % interval")
    for row in rows:
        cells = [str(row["views"]), f"{row['num_videos']:,}"]
        for k in (1, 5):
            low, high = (100.0 * share for share in row[f"top{k}_interval"])
            cells += [f"{100.0 * row[f'top{k}']:.2f}", f"{low:.1f} – {high:.1f}"]
        table.add_row(*cells)
    return table
