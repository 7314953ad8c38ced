"""``pks4 demo-data``: the demo's videos, in Something-Something V2's format."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.motion.settings import HARD, MOTION_NAMES, MotionSettings

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's.
    """
    parser.description = (
        "Generate short videos whose classes come in time-reversal pairs, in Something-Something "
        "V2's layout."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    for split, number in (("train", 1200), ("val", 240), ("test", 400)):
        parser.add_argument(f"--num_{split}", type=int, default=number, help="videos (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides every byte (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at work (%(default)s)")
    parser.add_argument("--num_workers", type=int, dest="jobs", help=argparse.SUPPRESS)
    parser.add_argument("--hard", action="store_true", help="the ablations' set: more in the way")
    parser.add_argument(
        "--motions",
        nargs="+",
        choices=sorted(MOTION_NAMES),
        help="pairs of classes, in label order, instead of the set's own",
    )


def run(arguments: argparse.Namespace) -> None:
    """Generate the demo set.

    Args:
        arguments: The command's.
    """
    settings = HARD if arguments.hard else MotionSettings()
    if arguments.motions:
        settings = replace(settings, motions=tuple(arguments.motions))
    folder = generate_motion_dataset(
        arguments.out,
        num_train=arguments.num_train,
        num_val=arguments.num_val,
        num_test=arguments.num_test,
        seed=arguments.seed,
        settings=settings,
        num_workers=arguments.jobs,
    )
    logger.info("Use it with --data.root %s", folder)
