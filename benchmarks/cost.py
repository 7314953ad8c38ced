"""The paper's cost cells, and cost by clip length and resolution: `python benchmarks/cost.py`.

On a GPU, also measures the memory of a training step at Table 1's batch sizes.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from machine import arguments, write_rows
from rich.console import Console

from pks4_lightning.commands.cost import curves
from pks4_lightning.cost.scaling import crossover, scale_frame_size, scale_num_frames
from pks4_lightning.cost.throughput import measure
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.cells import paper_cells
from pks4_lightning.paper.cost_tables import cell_table, scaling_tables
from pks4_lightning.paper.tables import read_table
from pks4_lightning.pictures.scaling import scaling_figure


def measured_steps() -> list[dict]:
    """Time Table 1's classifiers at its batch sizes, with and without gradient checkpointing."""
    rows = []
    for row in read_table(1).rows if torch.cuda.is_available() else ():
        if row.settings is None:
            continue
        clips = ClipBatch(num_clips=row.settings["batch_size"], num_frames=8, frame_size=224)
        for checkpointing in (False, True):
            config = PKS4Config(**row.settings["classifier"], gradient_checkpointing=checkpointing)
            for precision in ("bf16-mixed", row.settings["precision"]):
                speed = measure(config, clips, Precision.named(precision))
                rows.append(
                    {
                        "row": row.name,
                        "gradient_checkpointing": checkpointing,
                        "precision": precision,
                        **asdict(speed),
                    }
                )
    return rows


def main() -> None:
    parser = arguments("The paper's cost cells, and how the cost of ViT-B/16 grows.")
    parser.add_argument("--picture", type=Path, help="file for the figure of the growth")
    options = parser.parse_args()
    cells = paper_cells()
    config = PKS4Config(num_classes=174)
    lengths = list(scale_num_frames(config, frame_size=224))
    sizes = list(scale_frame_size(config, num_frames=8))
    equal = crossover(lengths[-1])
    console = Console()
    console.print(cell_table(cells), *scaling_tables(lengths, sizes, equal), sep="\n")
    if options.picture is not None:
        scaling_figure(curves(lengths), curves(sizes), crossover=equal).savefig(options.picture)
    rows = {
        "cells": [{**asdict(cell), "deviation": round(cell.deviation, 6)} for cell in cells],
        "crossover_frames": equal,
        "num_frames": [asdict(point) for point in lengths],
        "frame_size": [asdict(point) for point in sizes],
        "measured": measured_steps(),
    }
    if rows["measured"]:
        console.print_json(data=rows["measured"])
    write_rows(options.json, rows)


if __name__ == "__main__":
    main()
