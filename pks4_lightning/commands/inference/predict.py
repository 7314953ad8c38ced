"""``pks4 predict``: label videos of one's own, and go on where a prediction broke off."""

import argparse
import json
from pathlib import Path

from pks4_lightning.commands import trainer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments; all others are settings.

    Args:
        parser: The command's.
    """
    trainer.add_arguments(parser)
    parser.usage = "pks4 predict --ckpt_path X [VIDEO ...] [--SETTING VALUE ...]"
    parser.add_argument(
        "videos",
        metavar="VIDEO",
        nargs="*",
        help="a video, a folder, a 'pattern', a list of paths; - for a list on standard input",
    )
    parser.add_argument("--out", type=Path, help="folder; default: predict, in the run's folder")
    parser.add_argument(
        "--num_best", type=_number, default=5, metavar="N|all", help="classes per video; default: 5"
    )
    formats = ("csv", "json", "jsonl")
    parser.add_argument("--format", choices=formats, default="csv", help="default: csv")
    parser.add_argument("--resume", action="store_true", help="label what --out does not hold yet")


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: The command's.

    Raises:
        SystemExit: As :func:`trainer.run` does.
    """
    from pks4_lightning.training.callbacks.prediction_writer import PredictionWriter

    settings = list(arguments.settings)
    if arguments.videos:
        settings.append(f"--data.predict={json.dumps(arguments.videos)}")
    writer = PredictionWriter(
        arguments.out,
        num_best=arguments.num_best,
        file_format=arguments.format,
        resume=arguments.resume,
    )
    trainer.start(["predict", *settings], callbacks=[writer])


def _number(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive whole number nor all")
    return int(text)
