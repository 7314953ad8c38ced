"""``pks4 predict``: label videos, and resume an interrupted prediction."""

import argparse
import json
from pathlib import Path

from pks4_lightning.commands import trainer

__all__ = ["add_arguments", "run"]

_OF_VIDEOS = ("csv", "json", "jsonl")
_DEFAULT_BEST = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments; all others are passed on as settings.

    Args:
        parser: The parser of the command.
    """
    trainer.add_arguments(parser)
    parser.usage = "pks4 predict --ckpt_path X [VIDEO ...] [--window S] [--SETTING VALUE ...]"
    parser.add_argument(
        "videos",
        metavar="VIDEO",
        nargs="*",
        help="a video, a folder, a 'pattern' or a list of paths; - reads a list from standard "
        "input",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="output folder; default: predict, in the run's folder; with --window: segments",
    )
    parser.add_argument(
        "--num_best", type=_number, metavar="N|all", help="classes per video; default: 5"
    )
    parser.add_argument(
        "--format", choices=[*_OF_VIDEOS, "srt", "vtt"], default="csv",
        help="default: csv; srt and vtt write subtitles and need --window",
    )  # fmt: skip
    parser.add_argument(
        "--resume",
        action="store_true",
        help="label only the videos that --out does not contain yet",
    )
    windows = parser.add_argument_group(
        "long videos",
        "With --window, overlapping windows are merged into segments: start, end, label, score.",
    )
    windows.add_argument(
        "--window",
        type=float,
        metavar="S",
        help="label long videos in windows of this many seconds",
    )
    windows.add_argument(
        "--stride", type=float, metavar="S", help="seconds between windows; default: half a window"
    )
    windows.add_argument(
        "--margin", type=float, metavar="P",
        help="the label changes only if another class scores this much higher; default: 0.1",
    )  # fmt: skip
    windows.add_argument(
        "--overlay", type=Path, metavar="FILE",
        help="write a copy of the video with the best classes drawn into it (.mp4, .mkv, .mov)",
    )  # fmt: skip
    windows.add_argument("--device", help="cpu, cuda, ...; default: a GPU if there is one")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        SystemExit: As :func:`trainer.run` does.
        ValueError: If an option needs --window and it is not given; or see
            :func:`~pks4_lightning.commands.inference.segments.run_windows`.
    """
    from pks4_lightning.commands.inference.segments import WINDOW_OPTIONS, run_windows

    if arguments.window is not None:
        run_windows(arguments)
        return
    for name in WINDOW_OPTIONS:
        if getattr(arguments, name) is not None:
            raise ValueError(f"--{name} applies to long videos only: add --window, in seconds.")
    if arguments.format not in _OF_VIDEOS:
        raise ValueError(
            f"--format {arguments.format} writes subtitles, which need --window, in seconds, as "
            "well."
        )
    _run_trainer(arguments)


def _run_trainer(arguments: argparse.Namespace) -> None:
    """Label whole videos."""
    from pks4_lightning.training.callbacks.prediction_writer import PredictionWriter

    settings = list(arguments.settings)
    if arguments.videos:
        settings.append(f"--data.predict={json.dumps(arguments.videos)}")
    num_best = _DEFAULT_BEST if arguments.num_best is None else arguments.num_best
    writer = PredictionWriter(
        arguments.out,
        num_best=num_best or None,
        file_format=arguments.format,
        resume=arguments.resume,
    )
    trainer.start(["predict", *settings], callbacks=[writer])


def _number(text: str) -> int:
    """Return a number of classes; 0 are all."""
    if text == "all":
        return 0
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive integer nor 'all'")
    return int(text)
