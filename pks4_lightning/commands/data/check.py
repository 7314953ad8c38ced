"""``pks4 data check``: report missing, damaged and duplicate videos, class counts and speed."""

import argparse
import logging
import time
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from pks4_lightning.cli.arguments import RangeAction
from pks4_lightning.commands.data.settings import (
    add_data_arguments,
    data_of,
    manifest_of,
    read_splits,
)
from pks4_lightning.cores import num_cores
from pks4_lightning.data.annotations.published_counts import official_counts
from pks4_lightning.data.annotations.reading import VideoList, detect_format
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.inspection.check import DataReport, check_data, workers_needed
from pks4_lightning.data.inspection.manifest import read_manifest
from pks4_lightning.experiments.evaluation import quiet
from pks4_lightning.pictures.data_check import data_check_figure
from pks4_lightning.pictures.style import check_picture, save_figure
from pks4_lightning.tables import print_tables

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLE = """\
  pks4 data check /data/ssv2 --config ssv2 --clips_per_second 200"""
_SPEED_SECONDS = 10.0
_SPEED_CLIPS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    add_data_arguments(parser, example=EXAMPLE)
    parser.add_argument(
        "--clips_per_second", action=RangeAction, type=float, above=0, default=100.0,
        help="clips per second of the training, which decide how many workers it needs "
        "(%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--out", default="data_check.png", help="where to save the picture (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Check the data, print a report and draw a picture.

    Args:
        arguments: The parsed arguments of the command.

    Returns:
        The exit status: 1 if there is a problem with the data.
    """
    check_picture(arguments.out, option="--out")
    data = data_of(arguments, makes_clips=True)
    splits, names = read_splits(data)
    if not splits:
        raise FileNotFoundError(
            f"There are no annotations in '{data.root}'; set --data.train or --data.val."
        )
    manifest = manifest_of(data)
    records = read_manifest(manifest) if manifest.is_file() else None
    report = check_data(
        splits,
        records,
        str(data.root),
        label_names=names,
        official=official_counts(
            detect_format(Path(next(iter(splits.values())).source)).name
            if data.format == "auto"
            else data.format,
            len(names),
        ),
    )
    speed = _clips_per_second(data, splits)
    if speed is not None:
        number = workers_needed(speed, wanted=arguments.clips_per_second)
        report.notes.append(
            f"One worker decodes {speed:.1f} clips of {data.num_frames} frames per second here; "
            f"{arguments.clips_per_second:g} clips per second need data.num_workers {number} (this "
            f"machine has {num_cores()} cores)."
        )
    _print(report, f"{data.root}: {len(names)} classes")
    figure = data_check_figure(
        {name: split.per_class for name, split in report.splits.items()},
        {name: split.num_frames for name, split in report.splits.items()},
    )
    save_figure(figure, arguments.out)
    logger.info("Drew %s.", arguments.out)
    return 1 if report.wrong else 0


def _print(report: DataReport, title: str) -> None:
    console = Console()
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE if console.is_terminal else None
    )
    table.add_column("split")
    for heading in ("listed", "missing", "unusable", "classes", "per class"):
        table.add_column(heading, justify="right")
    for name, split in report.splits.items():
        filled = sorted(number for number in split.per_class if number) or [0]
        table.add_row(
            name, str(split.listed), str(split.missing), str(split.unusable),
            str(sum(number > 0 for number in split.per_class)),
            f"{filled[0]} – {filled[len(filled) // 2]} – {filled[-1]}",
        )  # fmt: skip
    print_tables(table)
    for mark, sentences in (("✗", report.wrong), ("·", report.notes)):
        for sentence in sentences:
            console.print(f"{mark} {sentence}", markup=False, highlight=False, soft_wrap=True)
    if not report.wrong:
        console.print("✓ No problem that would distort a score was found.", highlight=False)


def _clips_per_second(data: VideoDataModule, splits: dict[str, VideoList]) -> float | None:
    """Decode some videos of the first split in this process, as a data worker would."""
    stage = "fit" if "train" in splits and "val" in splits else None
    if stage is None:
        return None
    with quiet():  # what reading the annotations logs has been logged
        data.setup(stage)
    dataset = data.train_dataloader().dataset
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    num_videos = len(data.videos("train"))
    step = max(1, num_videos // _SPEED_CLIPS)
    decoded, start = 0, time.perf_counter()
    for index in range(0, num_videos, step):
        decoded += len(dataset[index]["label"])
        if time.perf_counter() - start > _SPEED_SECONDS:
            break
    torch.set_num_threads(threads)
    return decoded / (time.perf_counter() - start)
