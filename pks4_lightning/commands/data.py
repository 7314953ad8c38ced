"""``pks4 data index | check | show``: know the data before a training learns from it."""

import argparse
import contextlib
import json
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from rich import box
from rich.console import Console
from rich.table import Table

from pks4_lightning.cli.parser import OneSentenceParser
from pks4_lightning.cli.safe_yaml import load_config
from pks4_lightning.data.annotations.formats.folders import find_clips
from pks4_lightning.data.annotations.layout import Split
from pks4_lightning.data.annotations.published_counts import official_counts
from pks4_lightning.data.annotations.reading import VideoList, detect_format
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.inspection.check import DataReport, check_data, workers_needed
from pks4_lightning.data.inspection.index import index_files
from pks4_lightning.data.inspection.manifest import default_manifest, quarantine_path, read_manifest
from pks4_lightning.data.inspection.quarantine import manifest_paths
from pks4_lightning.data.loading.dataset import join_views
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.seeding import generator
from pks4_lightning.files import atomic_write
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.pictures.data_check import data_check_figure

__all__ = ["main"]

logger = logging.getLogger(__name__)

COMMANDS = {
    "index": "decode every file once; write the manifest and the quarantine list",
    "check": "missing, damaged and duplicated videos, class counts, decoding speed; one picture",
    "show": "a contact sheet of what the model will see",
}
OPTIONS: dict[str, tuple[tuple[str, Any, Any, str], ...]] = {
    "index": (
        ("num_workers", int, os.cpu_count() or 1, "processes at work"),
        ("timeout", float, 300.0, "seconds after which a file is given up"),
        ("all_files", bool, False, "also videos that no annotation lists"),
        ("verify", bool, False, "decode again what has not changed in size and time"),
        ("accept_changes", bool, False, "take changed files for new ones, not for damaged ones"),
    ),
    "check": (
        ("clips_per_second", float, 100.0, "what the training will use"),
        ("out", str, "data_check.png", "the picture"),
    ),
    "show": (
        ("split", Split, "train", "training clips are augmented"),
        ("num_shown", int, 8, "videos to draw"),
        ("epoch", int, 0, "another one draws other clips"),
        ("out", str, "data_show.png", "the picture"),
    ),
}
EXAMPLES = """\
examples:
  pks4 data index /data/ssv2 --num_workers 16       # interrupt it at will: it goes on
  pks4 data index /my/videos                        # any folder with videos
  pks4 data check /data/ssv2 --config configs/ssv2.yaml --clips_per_second 200
  pks4 data show /data/ssv2 --config configs/ssv2.yaml --out clips.png
Each takes the data keys of a training: --config FILE (its `data` section) and --data.KEY VALUE.
"""
_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_SPEED_SECONDS = 10.0
_SPEED_CLIPS = 64


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands.

    Args:
        argv: The arguments, the command first. ``None`` takes those of the process.

    Returns:
        The exit status: 0, 1 if something is wrong with the data or the settings, or 130 after an
        interruption. Arguments that do not parse raise ``SystemExit(2)``.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    overview = argparse.ArgumentParser(
        prog="pks4 data",
        description="Know the data before a training learns from it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = overview.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, description in COMMANDS.items():
        commands.add_parser(name, help=description, add_help=False)
    if not arguments or arguments[0] not in COMMANDS:
        overview.parse_args(arguments)  # prints the help, or names the mistake
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pks4_lightning").setLevel(logging.INFO)
    try:
        parser = _parser(arguments[0])
        settings = parser.parse_args(_data_only(arguments[1:]))
        data = parser.instantiate(settings).data
        if settings.root is not None:
            data.root = settings.root
        data.num_workers = 0  # what is decoded here is little
        if data.root is None:
            raise ValueError(f"Which data? pks4 data {arguments[0]} ROOT names its folder.")
        run = {"index": _index, "check": _check, "show": _show}[arguments[0]]
        return run(data, settings)
    except KeyboardInterrupt:
        sys.stderr.write("pks4: interrupted; an index goes on from here when it is run again\n")
        return 130
    except (ValueError, OSError) as error:
        sys.stderr.write(f"pks4: error: {error}\n")
        return 1


def _parser(command: str) -> OneSentenceParser:
    parser = OneSentenceParser(
        prog=f"pks4 data {command}", description=COMMANDS[command] + ".", allow_abbrev=False
    )
    parser.add_argument("root", nargs="?", help="folder of the data set; the same as --data.root")
    parser.add_argument("-c", "--config", action=ActionConfigFile,
                        help="a training's configuration, of which only `data` counts")  # fmt: skip
    for name, kind, default, meaning in OPTIONS[command]:
        parser.add_argument(f"--{name}", type=kind, default=default, help=meaning)
    parser.add_class_arguments(VideoDataModule, "data")
    return parser


def _data_only(arguments: list[str]) -> list[str]:
    """Reduce the configurations that arguments name to their ``data`` section."""
    reduced = []
    is_file = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if is_file:
            reduced.append(_data_section(argument))
        elif equals and name in ("--config", "-c"):
            reduced.append(f"--config={_data_section(value)}")
        else:
            reduced.append(argument)
        is_file = argument in ("--config", "-c")
    return reduced


def _data_section(file: str) -> str:
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"There is no configuration '{file}'.")
    content = load_config(path)
    section = content.get("data") if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise ValueError(f"The configuration '{file}' has no section 'data'.")
    return json.dumps({"data": section})


def _read_splits(data: VideoDataModule) -> tuple[dict[str, VideoList], list[str]]:
    """Read all splits whose annotations are there, each once, with the names of the classes."""
    data.allow_missing = 1.0  # to be reported, not refused
    layout = data.layout()
    splits: dict[str, VideoList] = {}
    for split in _SPLITS:
        try:
            videos = layout.read(split)
        except FileNotFoundError as error:
            logger.info("%s", error)
            continue
        if all(videos.source != other.source or videos != other for other in splits.values()):
            splits[split] = videos
    return splits, layout.label_names() if splits else []


def _manifest(data: VideoDataModule) -> Path:
    return default_manifest(str(data.root)) if data.manifest is None else Path(data.manifest)


def _index(data: VideoDataModule, settings: Any) -> int:
    root = Path(str(data.root)).expanduser()
    paths: set[str] = set()
    if not settings.all_files:
        with contextlib.suppress(FileNotFoundError):
            splits, _ = _read_splits(data)
            for videos in splits.values():
                absent = replace(videos, paths=videos.missing)
                paths |= {*manifest_paths(videos, str(root)), *manifest_paths(absent, str(root))}
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder '{root}'; name the folder of the data set.")
    if not paths:
        logger.info("All videos below '%s', whether an annotation lists them or not.", root)
        paths = set(find_clips(root))
    folders = {path for path in paths if (root / path).is_dir()}
    if folders:
        logger.info("%d folders of pictures are not indexed; reading them checks them.",
                    len(folders))  # fmt: skip
    manifest = _manifest(data)
    records = index_files(
        root,
        paths - folders,
        manifest,
        num_workers=settings.num_workers,
        timeout=settings.timeout,
        verify=settings.verify,
        accept_changes=settings.accept_changes,
    )
    bad = [record for record in records if record.status != "ok"]
    for record in bad[:10]:
        logger.info("%s: %s (%s)", record.path, record.reason, record.status)
    logger.info(
        "%d of %d files are whole; wrote %s and %s.",
        len(records) - len(bad), len(records), manifest, quarantine_path(manifest),
    )  # fmt: skip
    return 0


def _check(data: VideoDataModule, settings: Any) -> int:
    splits, names = _read_splits(data)
    if not splits:
        raise FileNotFoundError(f"No annotations in '{data.root}'; set --data.train or --data.val.")
    manifest = _manifest(data)
    records = read_manifest(manifest) if manifest.is_file() else None
    report = check_data(
        splits,
        records,
        str(data.root),
        label_names=names,
        official=official_counts(
            detect_format(Path(next(iter(splits.values())).source))
            if data.format == "auto"
            else data.format,
            len(names),
        ),
    )
    speed = _clips_per_second(data, splits)
    if speed is not None:
        number = workers_needed(speed, wanted=settings.clips_per_second)
        report.notes.append(
            f"One worker decodes {speed:.1f} clips of {data.num_frames} frames a second here; "
            f"{settings.clips_per_second:g} clips a second need data.num_workers {number} (this "
            f"machine has {os.cpu_count()} cores)."
        )
    _print(report, f"{data.root}: {len(names)} classes")
    figure = data_check_figure(
        {name: split.per_class for name, split in report.splits.items()},
        {name: split.num_frames for name, split in report.splits.items()},
    )
    with atomic_write(settings.out) as path:
        figure.savefig(path)
    logger.info("Drew %s.", settings.out)
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
    console.print(table)
    for mark, sentences in (("✗", report.wrong), ("·", report.notes)):
        for sentence in sentences:
            console.print(f"{mark} {sentence}", markup=False, highlight=False, soft_wrap=True)
    if not report.wrong:
        console.print("✓ Nothing here would make a score mean something else.", highlight=False)


def _clips_per_second(data: VideoDataModule, splits: dict[str, VideoList]) -> float | None:
    """Decode some videos of the first split in this process, as a worker does."""
    stage = "fit" if "train" in splits and "val" in splits else None
    if stage is None:
        return None
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


def _show(data: VideoDataModule, settings: Any) -> int:
    split = settings.split
    training = split == "train"
    data.setup({"train": "fit", "val": "validate", "test": "test"}[split])
    loaders = {
        "train": data.train_dataloader, "val": data.val_dataloader, "test": data.test_dataloader
    }  # fmt: skip
    dataset = loaders[split]().dataset
    num_videos = len(data.videos(split))
    draw = generator("show", data.seed, settings.epoch)
    chosen = torch.randperm(num_videos, generator=draw)[: settings.num_shown].tolist()
    requests = [VideoRequest(index, settings.epoch, 0, valid=True) for index in chosen]
    batch = join_views([dataset[request] for request in requests])
    seen = data.to_pixels(data.to_model_input(batch, training=training)).numpy()
    plain = batch["video"].permute(0, 2, 3, 4, 1).numpy()
    clips: list[np.ndarray] = []
    titles: list[str] = []
    for place, (label, path) in enumerate(
        zip(batch["label"].tolist(), batch["video_path"], strict=True)
    ):
        name = data.label_names[label] if label >= 0 else "no label"
        view = int(batch["view_index"][place])
        title = f"{name}  ({os.path.relpath(path, str(data.root))}, view {view})"
        if training and not np.array_equal(plain[place], seen[place]):
            clips.append(plain[place])
            titles.append(f"{title}\nsampled and cropped")
            title = "as the model sees it"
        clips.append(seen[place])
        titles.append(batch["failure"][place] or title)
    figure = contact_sheet(np.stack(clips), titles)
    with atomic_write(settings.out) as target:
        figure.savefig(target)
    logger.info("Drew %d clips of %d videos: %s.", len(batch["label"]), len(chosen), settings.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
