"""``pks4 cost``: compute the cost of a configuration, or recompute the paper's cost tables."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pks4_lightning.cli.arguments import RangeAction, take_settings
from pks4_lightning.cli.cost_settings import cost_settings
from pks4_lightning.cli.errors import ArgumentsError
from pks4_lightning.cost.report import CostSettings, cost_report
from pks4_lightning.cost.scaling import ScalingPoint, crossover, scale_frame_size, scale_num_frames
from pks4_lightning.paper.cells import RECOMPUTED_TABLES, Cell, paper_cells
from pks4_lightning.paper.cost_tables import (
    cell_table,
    counting_table,
    method_table,
    report_tables,
    scaling_tables,
)
from pks4_lightning.paper.tables import read_table
from pks4_lightning.pictures.scaling import scaling_figure
from pks4_lightning.pictures.style import check_picture, save_figure
from pks4_lightning.tables import print_tables

__all__ = ["add_arguments", "cells_as_json", "curves", "run"]

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  pks4 cost --paper                                  # the paper's cells and ours, side by side
  pks4 cost --config ssv2
  pks4 cost --config ssv2 --data.num_frames 32 --measure
  pks4 cost --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt --json
  pks4 cost --config ssv2 --scaling --out scaling.png
  pks4 cost --config ssv2 --backbone facebook/dinov2-base
Any setting of `pks4 fit` may follow. Nothing is downloaded for OpenAI's four CLIP transformers and
for the base models of SigLIP, SigLIP 2, DINOv2, DINOv3 and ViT; for others, config.json is.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Compute parameters, FLOPs, memory and training compute of the classifier that the "
        "settings describe. No weights, data or GPU are needed."
    )
    parser.epilog = EXAMPLES
    take_settings(parser)
    parser.add_argument("--ckpt_path", help="a checkpoint that provides the settings")
    parser.add_argument("--backbone", help="short for --model.classifier.backbone")
    parser.add_argument(
        "--videos",
        action=RangeAction,
        type=int,
        least=1,
        help="number of training videos (default: the published number, else counted in data.root)",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="also time this device (minutes for ViT-B/16 on a CPU); on a GPU, its memory too",
    )
    parser.add_argument(
        "--scaling", action="store_true", help="tabulate the cost over clip length and resolution"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("scaling.png"),
        help="where to save the figure of --scaling",
    )
    parser.add_argument(
        "--paper", action="store_true", help="recompute the cost cells of the paper's tables"
    )
    parser.add_argument(
        "--table",
        type=int,
        nargs="+",
        default=list(RECOMPUTED_TABLES),
        help=f"tables of --paper; default: {' '.join(map(str, RECOMPUTED_TABLES))}",
    )
    parser.add_argument("--json", action="store_true", help="print only JSON")


def run(arguments: argparse.Namespace) -> int:
    """Count, and optionally measure, the cost of a classifier.

    Args:
        arguments: The parsed arguments of the command.

    Returns:
        The exit status: 1 if a cell of the paper that should be reproduced is not.

    Raises:
        ValueError: If the settings cannot be read, or do not apply.
    """
    if not arguments.measure:
        logging.getLogger("pks4_lightning").setLevel(logging.WARNING)
    if arguments.paper:
        if arguments.settings:
            raise ArgumentsError(
                f"--paper takes no training settings: {' '.join(arguments.settings)}."
            )
        return _paper(arguments.table, measured=arguments.measure, as_json=arguments.json)
    if arguments.scaling:
        check_picture(arguments.out, option="--out")
    tower = [f"--model.classifier.backbone={arguments.backbone}"] if arguments.backbone else []
    settings = cost_settings(
        [*arguments.settings, *tower],
        checkpoint=arguments.ckpt_path,
        num_videos=0 if arguments.scaling else arguments.videos,
    )
    if arguments.scaling:
        _scaling(settings, arguments.out, as_json=arguments.json)
    else:
        _report(settings, measured=arguments.measure, as_json=arguments.json)
    return 0


def _paper(tables: Sequence[int], *, measured: bool, as_json: bool) -> int:
    cells = paper_cells(tables, measured=measured)
    if as_json:
        sys.stdout.write(cells_as_json(cells))
    else:
        shown = [cell_table(cells), counting_table(cells)]
        if 1 in tables:
            rows = [row for row in read_table(1).rows if row.settings]
            shown.append(method_table(rows, [cell for cell in cells if cell.table == 1]))
        print_tables(*shown, *_reasons(tables))
    failed = [cell for cell in cells if cell.status == "fails"]
    for cell in failed:
        sys.stderr.write(f"pks4: {_sentence(cell)}\n")
    return 1 if failed else 0


def cells_as_json(cells: Sequence[Cell]) -> str:
    """Return the output of ``pks4 cost --paper --json``.

    Args:
        cells: The cells of the tables.
    """
    return _as_json(
        [
            {
                "table": cell.table,
                "row": cell.row,
                "column": cell.column,
                "paper": cell.paper,
                "ours": round(cell.ours, 6),
                "deviation": round(cell.deviation, 6),
                **_ways_of_counting(cell),
            }
            for cell in cells
        ]
    )


def _ways_of_counting(cell: Cell) -> dict[str, Any]:
    if cell.counts is None:
        return {}
    counts = {way: round(count, 6) for way, count in cell.counts.items()}
    return {"counts": counts, "follows": cell.follows}


def _reasons(tables: Sequence[int]) -> list[str]:
    """Explain why cells deviate or cannot be computed, as recorded in the tables' files."""
    return [
        f"Table {number}, {row.name}: {reason}"
        for number in tables
        for row in read_table(number).rows
        for reason in (
            *row.deviates.values(),
            *(f"{key} is not computed: {reason}" for key, reason in row.underivable.items()),
            *([row.note] if row.note else []),
        )
    ]


def _sentence(cell: Cell) -> str:
    return (
        f"Table {cell.table}, {cell.row}, {cell.column}: ours is {cell.ours:.4f}, the paper's "
        f"{cell.paper} ({cell.deviation:+.2%})."
    )


def _report(settings: CostSettings, *, measured: bool, as_json: bool) -> None:
    report = cost_report(settings, measured=measured)
    if as_json:
        sys.stdout.write(_as_json(report))
    else:
        print_tables(*report_tables(report))


def _scaling(settings: CostSettings, out: Path, *, as_json: bool) -> None:
    clips = settings.clips
    lengths = list(scale_num_frames(settings.classifier, frame_size=clips.frame_size))
    sizes = list(scale_frame_size(settings.classifier, num_frames=clips.num_frames))
    equal = crossover(lengths[-1])
    save_figure(scaling_figure(curves(lengths), curves(sizes), crossover=equal), out)
    if as_json:
        rows = {"num_frames": lengths, "frame_size": sizes}
        said = {axis: [asdict(point) for point in points] for axis, points in rows.items()}
        sys.stdout.write(_as_json({"crossover_frames": equal, **said}))
    else:
        print_tables(*scaling_tables(lengths, sizes, equal), f"Drawn in {out}.")


def curves(points: Sequence[ScalingPoint]) -> dict[str, list[int]]:
    """Name the curves of the scaling figure.

    Args:
        points: The points along one axis.
    """
    return {
        "frames": [point.num_frames for point in points],
        "pixels": [point.frame_size for point in points],
        "whole classifier": [point.total for point in points],
        "attention within frames": [point.tower_attention for point in points],
        "prior encoder": [point.priors for point in points],
        "KS4 scanner": [point.scanner for point in points],
        "temporal attention in KS4's place": [point.attention_along_time for point in points],
    }


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
