"""``pks4 cost``: what a configuration costs, and the paper's cost tables computed again."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from pks4_lightning.cli.cost_settings import cost_settings
from pks4_lightning.cli.lightning_cli import user_error
from pks4_lightning.cost.report import CostSettings, cost_report
from pks4_lightning.cost.scaling import ScalingPoint, crossover, scale_frame_size, scale_num_frames
from pks4_lightning.files import atomic_write
from pks4_lightning.paper.cells import RECOMPUTED_TABLES, Cell, paper_cells
from pks4_lightning.paper.cost_tables import cell_table, report_tables, scaling_tables
from pks4_lightning.paper.tables import read_table
from pks4_lightning.pictures.scaling import scaling_figure

__all__ = ["curves", "main"]

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  pks4 cost --paper                                  # the paper's cells beside ours
  pks4 cost --config configs/ssv2.yaml
  pks4 cost --config configs/ssv2.yaml --data.num_frames 32 --measure
  pks4 cost --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt --json
  pks4 cost --config configs/ssv2.yaml --scaling --out scaling.png
Any setting of `pks4 fit` may follow. Nothing is downloaded for OpenAI's four CLIP transformers.
"""


def main(argv: list[str] | None = None) -> int:
    """Count, and if wanted measure, what a classifier costs.

    Args:
        argv: Arguments; ``None`` takes the process's own.

    Returns:
        The exit status: 0; 1 after one sentence about what is wrong, or if a cell of the paper
        that should come out does not.
    """
    parser = _parser()
    arguments, settings = parser.parse_known_args(argv)
    if arguments.paper and settings:
        parser.error(f"--paper takes no settings of a training: {' '.join(settings)}")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pks4_lightning").setLevel(logging.INFO if arguments.measure else "WARNING")
    try:
        if arguments.paper:
            return _paper(arguments.table, measured=arguments.measure, as_json=arguments.json)
        num_videos = 0 if arguments.scaling else arguments.videos
        read = cost_settings(settings, checkpoint=arguments.ckpt_path, num_videos=num_videos)
        if arguments.scaling:
            _scaling(read, arguments.out, as_json=arguments.json)
        else:
            _report(read, measured=arguments.measure, as_json=arguments.json)
    except Exception as error:
        sentence = user_error(error)
        if sentence is None:
            raise
        sys.stderr.write(f"pks4: error: {sentence}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pks4 cost",
        description="Parameters, FLOPs, memory and training compute of the classifier that the "
        "settings of a training describe. Counted without weights, data or GPU.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt_path", help="a checkpoint, whose settings to start from")
    parser.add_argument("--videos", type=int, help="training videos, where no data set tells")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="time the device at hand (minutes for ViT-B/16 on a CPU); on a GPU, its memory too",
    )
    parser.add_argument("--scaling", action="store_true", help="cost over length and resolution")
    parser.add_argument(
        "--out", type=Path, default=Path("scaling.png"), help="the picture of --scaling"
    )
    parser.add_argument("--paper", action="store_true", help="compute the paper's cells again")
    parser.add_argument(
        "--table",
        type=int,
        nargs="+",
        default=list(RECOMPUTED_TABLES),
        help=f"tables of --paper; default: {' '.join(map(str, RECOMPUTED_TABLES))}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else")
    return parser


def _paper(tables: Sequence[int], *, measured: bool, as_json: bool) -> int:
    cells = paper_cells(tables, measured=measured)
    if as_json:
        _write(
            [
                {
                    "table": cell.table,
                    "row": cell.row,
                    "column": cell.column,
                    "paper": cell.paper,
                    "ours": round(cell.ours, 6),
                    "deviation": round(cell.deviation, 6),
                }
                for cell in cells
            ]
        )
    else:
        Console().print(cell_table(cells), *_reasons(tables), sep="\n")
    failed = [cell for cell in cells if cell.status == "fails"]
    for cell in failed:
        sys.stderr.write(f"pks4: {_sentence(cell)}\n")
    return 1 if failed else 0


def _reasons(tables: Sequence[int]) -> list[str]:
    """Say why some cells deviate, as the tables' files have it."""
    return [
        f"Table {number}, {row.name}: {reason}"
        for number in tables
        for row in read_table(number).rows
        for reason in row.deviates.values()
    ]


def _sentence(cell: Cell) -> str:
    return (
        f"Table {cell.table}, {cell.row}, {cell.column}: ours is {cell.ours:.4f}, the paper's "
        f"{cell.paper} ({cell.deviation:+.2%})."
    )


def _report(settings: CostSettings, *, measured: bool, as_json: bool) -> None:
    report = cost_report(settings, measured=measured)
    if as_json:
        _write(report)
    else:
        Console().print(*report_tables(report), sep="\n")


def _scaling(settings: CostSettings, out: Path, *, as_json: bool) -> None:
    clips = settings.clips
    lengths = list(scale_num_frames(settings.classifier, frame_size=clips.frame_size))
    sizes = list(scale_frame_size(settings.classifier, num_frames=clips.num_frames))
    equal = crossover(lengths[-1])
    with atomic_write(out) as path:
        scaling_figure(curves(lengths), curves(sizes), crossover=equal).savefig(path)
    if as_json:
        rows = {"num_frames": lengths, "frame_size": sizes}
        _write(
            {
                "crossover_frames": equal,
                **{axis: [asdict(point) for point in points] for axis, points in rows.items()},
            }
        )
    else:
        Console().print(*scaling_tables(lengths, sizes, equal), f"Drawn in {out}.", sep="\n")


def curves(points: Sequence[ScalingPoint]) -> dict[str, list[int]]:
    """Name what the picture of the scaling shows.

    Args:
        points: Along one axis.
    """
    return {
        "frames": [point.num_frames for point in points],
        "pixels": [point.frame_size for point in points],
        "whole classifier": [point.total for point in points],
        "attention within frames": [point.tower_attention for point in points],
        "prior encoder": [point.priors for point in points],
        "KS4 scanner": [point.scanner for point in points],
        "attention along time instead": [point.attention_along_time for point in points],
    }


def _write(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
