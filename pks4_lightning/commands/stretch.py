"""``pks4 stretch``: measure one checkpoint at many lengths and resolutions."""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pks4_lightning.cli.arguments import NumbersAction, RangeAction, take_settings
from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.experiments.evaluation import Stopwatch, build, quiet
from pks4_lightning.experiments.stretch_grid import (
    Cell,
    Grid,
    Results,
    best_within,
    default_frames,
    default_resolutions,
    size_used,
)
from pks4_lightning.files import sha256_of
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import weights_file
from pks4_lightning.pictures.heat_map import heat_map_figure
from pks4_lightning.pictures.style import save_figure
from pks4_lightning.progress import time_left
from pks4_lightning.tables import new_table, print_tables

__all__ = ["add_arguments", "cell_map", "run"]

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  pks4 stretch --ckpt_path runs/flexible/checkpoints/best.ckpt
  pks4 stretch --ckpt_path runs/flexible/checkpoints/best.ckpt \\
      --against runs/plain/checkpoints/best.ckpt --frames 8 16 32 --resolutions 112 224 336
  pks4 stretch --ckpt_path runs/flexible/checkpoints/best.ckpt --budget 100
Any setting of `pks4 test` may follow; it applies to all cells. The same command continues an
interrupted grid; finished cells are not evaluated again.
"""
_LOOKED_AT = 20
"""Number of videos inspected to find the longest clip that is useful."""


@dataclass(frozen=True)
class _Subject:
    """A checkpoint under evaluation."""

    path: str
    config: PKS4Config
    unit: int
    """Frame sizes must be a multiple of this many pixels."""
    settings: list[str]
    num_frames: int
    frame_size: int
    longest: int
    """Number of frames of the longest of the first videos in the split."""
    folder: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Test one checkpoint at every length and resolution of a grid. Writes top-1, GFLOPs per "
        "view and clips per second of each cell as a table, CSV, JSON and a heat map."
    )
    parser.epilog = EXAMPLES
    take_settings(parser)
    parser.add_argument("--ckpt_path", required=True, help="the checkpoint")
    parser.add_argument(
        "--against", help="a second checkpoint to compare; it must use the same patch size or grid"
    )
    parser.add_argument(
        "--frames",
        action=NumbersAction,
        help="clip lengths, such as 8 16 32; default: lengths around that of training",
    )
    parser.add_argument(
        "--resolutions",
        action=NumbersAction,
        help="frame sizes in pixels, rounded to whole patches; default: from "
        "0.5 to 1.5 times that of training",
    )
    parser.add_argument(
        "--out", type=Path, help="output folder; default: stretch, in the run's folder"
    )
    parser.add_argument(
        "--budget",
        action=RangeAction,
        type=float,
        above=0,
        help="pick the most accurate scale within this many GFLOPs per view",
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluate the unfinished cells, then show and draw the grid.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        ValueError: If a checkpoint, the data or the grid is not suitable.
    """
    settings: list[str] = arguments.settings
    first = _look_at(arguments.ckpt_path, settings)
    subjects = [first]
    if arguments.against:
        rule = first.config.grid_size or "null"
        same_patches = [f"--model.classifier.grid_size={rule}", *settings]
        subjects.append(_look_at(arguments.against, same_patches))
    grid = _plan(first, arguments.frames, arguments.resolutions)
    results = Results.open(
        arguments.out or first.folder / "stretch",
        settings=settings,
        digests={each.path: sha256_of(weights_file(each.path)) for each in subjects},
    )
    _evaluate(subjects, grid, results)
    _show(subjects, grid, results)
    if arguments.budget is not None:
        best = best_within(results.within(first.path, grid), arguments.budget)
        logger.info(
            "Within %g GFLOPs per view: %d frames of %d pixels, top-1 %.2f %%, %.4g GFLOPs.\n"
            "pks4 predict --ckpt_path %s --data.num_frames %d --data.frame_size %d "
            "VIDEO",
            *(arguments.budget, best.num_frames, best.frame_size, 100 * best.top1, best.gflops),
            *(best.checkpoint, best.num_frames, best.frame_size),
        )


def cell_map(cells: Sequence[Cell], grid: Grid) -> np.ndarray:
    """Arrange top-1 accuracies in rows of equal length and columns of equal resolution.

    Args:
        cells: The cells of one checkpoint; missing ones become NaN.
        grid: The grid.
    """
    values = np.full((len(grid.frames), len(grid.resolutions)), np.nan)
    for cell in cells:
        place = grid.frames.index(cell.num_frames), grid.resolutions.index(cell.resolution)
        values[place] = cell.top1
    return values


def _look_at(checkpoint: str, settings: list[str]) -> _Subject:
    """Read a checkpoint and its data without evaluating anything."""
    with quiet():
        cli = build("test", checkpoint, settings)
        config: PKS4Config = cli.model.config
        data = cli.datamodule
        data.setup("test")
        cli.model.check_labels(data)
    assert config.backbone_config is not None, "a checkpoint stores the whole architecture"
    grid_size = meta_classifier(config).grid_size
    return _Subject(
        path=str(cli.config["test"].ckpt_path),
        config=config,
        unit=grid_size or int(config.backbone_config["patch_size"]),
        settings=settings,
        num_frames=data.num_frames,
        frame_size=data.frame_size,
        longest=_longest(data.test_dataloader().dataset),
        folder=Path(cli.trainer.default_root_dir),
    )


def _longest(videos: VideoDataset) -> int:
    lengths = [0]
    for index in range(min(_LOOKED_AT, len(videos))):
        try:
            lengths.append(videos.num_frames_of(index))
        except VideoDecodeError:
            continue  # the test will report it
    return max(lengths)


def _plan(
    subject: _Subject, frames: tuple[int, ...] | None, resolutions: tuple[int, ...] | None
) -> Grid:
    """Choose the lengths and resolutions of the grid.

    Raises:
        ValueError: If a requested length exceeds that of the videos.
    """
    longest = subject.longest
    if frames and max(frames) > longest:
        raise ValueError(
            f"--frames asks for {max(frames)}, but the longest of the first {_LOOKED_AT} videos "
            f"has {longest}: a longer clip would only repeat frames. Leave out what is above "
            f"{longest}."
        )
    if not frames:
        wanted = default_frames(subject.num_frames)
        frames = tuple(length for length in wanted if length <= longest)
        if frames != wanted:
            logger.info("Clip lengths above the videos' %d frames are skipped.", longest)
    sizes = resolutions or default_resolutions(subject.frame_size, unit=subject.unit)
    return Grid(frames, sizes)


def _evaluate(subjects: Sequence[_Subject], grid: Grid, results: Results) -> None:
    """Evaluate the unfinished cells, logging one line per cell."""
    left = [
        (subject, *scale)
        for scale in grid.scales
        for subject in subjects
        if results.find(subject.path, *scale) is None
    ]
    models = {subject.path: meta_classifier(subject.config) for subject in subjects}
    costs = []
    for subject, num_frames, resolution in left:
        size = size_used(resolution, unit=subject.unit)
        flops = count_flops(models[subject.path], num_frames=num_frames, frame_size=size)
        costs.append(total_flops(flops).all_matmuls / 1e9)
    began = time.monotonic()
    for number, ((subject, num_frames, resolution), gflops) in enumerate(
        zip(left, costs, strict=True), start=1
    ):
        digest = results.digests[subject.path]
        cell = _evaluate_cell(
            subject, num_frames, resolution, gflops, results.folder / "cells" / digest[:8]
        )
        results.add(cell)
        elapsed = time.monotonic() - began
        logger.info(
            "cell %d/%d  %s  %d frames of %d pixels  top-1 %.4f  %.4g GFLOPs  %.1f clips/s  "
            "%.0f s%s",
            *(number, len(left), Path(subject.path).parent.parent.name),
            *(cell.num_frames, cell.frame_size, cell.top1, gflops, cell.clips_per_second),
            *(elapsed, time_left(elapsed, done=sum(costs[:number]), total=sum(costs))),
        )


def _evaluate_cell(
    subject: _Subject, num_frames: int, resolution: int, gflops: float, out: Path
) -> Cell:
    """Run the same test as `pks4 test`, at one scale."""
    size = size_used(resolution, unit=subject.unit)
    folder = out / f"{num_frames}x{size}"
    scale = [f"--data.num_frames={num_frames}", f"--data.frame_size={size}"]
    root = f"--trainer.default_root_dir={folder}"
    watch = Stopwatch()
    with quiet():
        cli = build("test", subject.path, [*subject.settings, *scale, root], listener=watch)
        cli.trainer.test(
            cli.model, datamodule=cli.datamodule, ckpt_path=subject.path, verbose=False
        )
    metrics = json.loads((folder / "test" / "metrics.json").read_text(encoding="utf-8"))
    low, high = metrics["test/video_top1_interval"]
    return Cell(
        checkpoint=subject.path,
        num_frames=num_frames,
        resolution=resolution,
        frame_size=size,
        gflops=round(gflops, 6),
        top1=metrics["test/video_top1"],
        top1_low=low,
        top1_high=high,
        num_videos=metrics["num_scored"],
        clips_per_second=round(watch.clips_per_second, 2),
    )


def _show(subjects: Sequence[_Subject], grid: Grid, results: Results) -> None:
    """Print the table and draw the heat map."""
    maps = {}
    table = new_table()
    for title in ("run", "frames", "pixels", "GFLOPs", "top-1 %", "95 % interval", "clips/s"):
        table.add_column(title, justify="left" if title == "run" else "right", overflow="fold")
    for subject in subjects:
        cells = results.within(subject.path, grid)
        name = Path(subject.path).parent.parent.name
        if name in maps:
            name += f", {Path(subject.path).stem}"
        maps[name] = cell_map(cells, grid)
        for cell in cells:
            used = str(cell.frame_size)
            if cell.frame_size != cell.resolution:
                used += f" (for {cell.resolution})"
            table.add_row(
                name,
                str(cell.num_frames),
                used,
                f"{cell.gflops:.4g}",
                f"{100 * cell.top1:.2f}",
                f"{100 * cell.top1_low:.1f} – {100 * cell.top1_high:.1f}",
                f"{cell.clips_per_second:.1f}",
            )
    print_tables(table)
    figure = heat_map_figure(maps, frames=grid.frames, resolutions=grid.resolutions)
    save_figure(figure, results.folder / "heat_map.png")
    logger.info("%s/{results.json,results.csv,heat_map.png}", results.folder)
