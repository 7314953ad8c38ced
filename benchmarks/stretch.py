"""Flexible training at demo scale: `python benchmarks/stretch.py` (about 15 minutes on two cores).

Starting from one finished training of the demo's model (`make demo`), every variant in
configs/flexible is trained for the same number of further optimiser steps and then tested on a grid
of lengths and resolutions; `none` also with patches resized to a fixed grid, as for static tokens.

`--host videomamba_ti` does the same with VideoMamba, for which StretchySnake was published,
starting from its training in `pks4 compare`, for `none` and `static_tokens` only.
"""

import csv
import json
import logging
from pathlib import Path

import numpy as np
import yaml
from machine import arguments, write_rows

from pks4_lightning.cli.settings import resolve
from pks4_lightning.commands.stretch import cell_map
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.experiments.methods.arms import method_arms
from pks4_lightning.experiments.processes import Chain, Command, run_side_by_side
from pks4_lightning.experiments.stretch_grid import Cell, Grid
from pks4_lightning.pictures.heat_map import heat_map_figure

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = {
    "pks4": ("none", "static_tokens", "static_patch", "all", "temporal", "spatial"),
    "videomamba_ti": ("none", "static_tokens"),
}
STRETCHED = "none, patches stretched"
# the presets of configs/flexible, scaled from 8 frames of 224 pixels and patches of 16 to 8 of 48
# and patches of 8
DRAWN = {"num_frames": [4, 8, 16], "frame_sizes": [24, 36, 48, 72], "grid_sizes": [3, 6, 9]}
MULTIPLES_OF_8 = {"frame_sizes": [24, 40, 48, 72]}
OWN_DRAWS = {"spatial": MULTIPLES_OF_8, "static_patch": MULTIPLES_OF_8}
# 24 frames and 60 pixels are not drawn by any variant
GRID = Grid((4, 8, 24), (24, 36, 48, 60))
TRAINED_AT = (8, 48)


def main():
    parser = arguments("Train the variants of flexible training and test them at many scales.")
    parser.add_argument("--host", choices=VARIANTS, default="pks4", help="model to train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes in parallel")
    parser.add_argument("--out", type=Path, default=Path("runs/stretch"), help="inside the project")
    parser.add_argument(
        "--start",
        type=Path,
        help="weights; unless given, those of the first seed of `pks4 demo` or `pks4 compare`",
    )
    options = parser.parse_args()
    if options.start is None:
        runs, name = {"pks4": ("demo", "pks4"), "videomamba_ti": ("compare", "videomamba-ti")}[
            options.host
        ]
        options.start = next(Path("runs", runs).glob(f"{name}-*/seed0/checkpoints/last.ckpt"))
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    generate_motion_dataset(options.out / "data", num_train=1200, num_val=80, num_test=160)
    variants = VARIANTS[options.host]
    chains = [chain(name, options) for name in variants]
    run_side_by_side([each for each in chains if each is not None], jobs=options.jobs)
    report([variants[0], STRETCHED, *variants[1:]], options)


def chain(name, options):
    """Return the commands of a variant, or None if it is finished."""
    done = options.out / name / "done"
    commands = [training(name, options), testing(name, options)]
    if name == "none":
        commands.append(testing(STRETCHED, options, "--model.classifier.grid_size=own"))
    lock = options.out / name / "running.lock"
    return None if done.is_file() else Chain(tuple(commands), done.touch, lock)


def training(name, options):
    folder = options.out / name
    return Command(
        f"training {name}",
        ("fit", "--config", "demo/pks4", *settings(name, options)),
        folder / "fit.log",
        folder / "progress.json",
    )


def settings(name, options):
    demo = resolve(["--config", "demo/pks4"])
    (host,) = method_arms([options.host], demo, own="demo/methods")
    return (
        *host.arguments,
        *("--config", f"configs/flexible/{name}.yaml", *draws(name), "--ckpt_path", "auto"),
        *("--data.root", f"{options.out}/data"),
        *("--trainer.default_root_dir", str(options.out / name)),
        *("--model.init_from", str(options.start), "--trainer.max_epochs", "1"),
        *("--model.recipe.warmup_epochs", "0.2"),
        *("--seed_everything", str(options.seed), "--data.seed", str(options.seed)),
    )


def testing(name, options, *more):
    checkpoint = f"{options.out}/{name.split(',')[0]}/checkpoints/last.ckpt"
    arguments = (
        *("stretch", "--ckpt_path", checkpoint),
        *("--frames", *map(str, GRID.frames)),
        *("--resolutions", *map(str, GRID.resolutions)),
        *("--out", str(options.out / "grids" / name), *more),
    )
    return Command(f"testing {name}", arguments, options.out / f"{name}.log")


def draws(name):
    """Return the settings of a variant's scales, in the demo's sizes."""
    path = ROOT / "configs" / "flexible" / f"{name}.yaml"
    drawn = yaml.safe_load(path.read_text())["data"]["flexible"]
    sizes = DRAWN | OWN_DRAWS.get(name, {})
    return [f"--data.flexible.{key}={sizes[key]}" for key, values in drawn.items() if values]


def report(names, options):
    cells = {}
    for name in names:
        folder = options.out / "grids" / name
        content = json.loads((folder / "results.json").read_text())
        cells[name] = [Cell(**cell) for cell in content["cells"]]
    maps = {name: cell_map(found, GRID) for name, found in cells.items()}
    print("| | mean of the grid | at 8 × 48 | least | off the scale of `none` |")
    print("|---|---|---|---|---|")
    row, column = GRID.frames.index(TRAINED_AT[0]), GRID.resolutions.index(TRAINED_AT[1])
    for name, values in maps.items():
        elsewhere = np.delete(values.ravel(), row * values.shape[1] + column)
        shares = (values.mean(), values[row, column], values.min(), elsewhere.mean())
        print(f"| {name} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |")
    if options.json is None:
        return
    rows = [
        {"variant": name, **{k: v for k, v in vars(cell).items() if k != "checkpoint"}}
        for name, found in cells.items()
        for cell in found
    ]
    write_rows(options.json, rows)
    with options.json.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    figure = heat_map_figure(
        maps, frames=GRID.frames, resolutions=GRID.resolutions, marked=[TRAINED_AT]
    )
    figure.savefig(options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
