"""``pks4 demo-data``: generate the demo's videos, or the motion bench's from a user's videos."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from pks4_lightning.cli.arguments import RangeAction
from pks4_lightning.demo.cutouts.dataset import generate_cutout_dataset
from pks4_lightning.demo.cutouts.settings import ONE_MOTION, TWO_MOTIONS
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.motion.settings import HARD, MOTION_NAMES, MotionSettings

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  pks4 demo-data --out data/demo
  pks4 demo-data --out data/motion --sources EgoGestAR/testvideo
  pks4 demo-data --out data/order --sources EgoGestAR/testvideo --two_motions
With --sources, cut-outs of the folder's videos move left, right, up or down over other videos of
the folder; annotations.csv gives the amplitude of each clip in pixels. `pks4 evidence --task
motion` reads it, or `--task order` if there are two motions. If the folder has an index.csv of
`pks4 data groups`, groups are not divided between training and test.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Generate short videos whose classes come in time-reversal pairs: textured shapes in "
        "Something-Something V2's layout, or cut-outs of real frames that move over real video."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument(
        "--sources",
        type=Path,
        metavar="FOLDER",
        help="cut objects out of these videos; default: draw shapes",
    )
    parser.add_argument(
        "--two_motions",
        action="store_true",
        help="with --sources: two objects appear and move, one after the other; the classes differ "
        "in their order",
    )
    for split, number in (
        ("train", "1200; 2000 with --sources"),
        ("val", "240; 0 with --sources"),
        ("test", "400; 1000 with --sources"),
    ):
        parser.add_argument(
            f"--num_{split}",
            action=RangeAction,
            type=int,
            least=0,
            help=f"number of videos ({number})",
        )
    for name, default, meaning in (
        ("seed", 0, "determines every byte of the videos (%(default)s)"),
        ("jobs", 2, "worker processes (%(default)s); 0: none but this one"),
    ):
        parser.add_argument(
            f"--{name}", action=RangeAction, type=int, least=0, default=default, help=meaning
        )
    parser.add_argument(
        "--hard", action="store_true", help="the harder set of the ablations, with more distractors"
    )
    parser.add_argument(
        "--motions",
        nargs="+",
        choices=sorted(MOTION_NAMES),
        help="class pairs to generate, in label order, instead of the default ones",
    )


def run(arguments: argparse.Namespace) -> None:
    """Generate the set.

    Args:
        arguments: The command's.

    Raises:
        ValueError: If an option that applies to shapes only is combined with ``--sources``, or
            ``--two_motions`` is not.
    """
    numbers = {
        name: getattr(arguments, name)
        for name in ("num_train", "num_val", "num_test")
        if getattr(arguments, name) is not None
    }
    shared = {**numbers, "seed": arguments.seed, "num_workers": arguments.jobs}
    if arguments.sources is None:
        if arguments.two_motions:
            raise ValueError("--two_motions needs videos to cut objects out of: add --sources.")
        settings = HARD if arguments.hard else MotionSettings()
        if arguments.motions:
            settings = replace(settings, motions=tuple(arguments.motions))
        folder = generate_motion_dataset(arguments.out, **shared, settings=settings)
        logger.info("Use it with --data.root %s", folder)
        return
    given = {
        "--hard": arguments.hard,
        "--motions": arguments.motions,
        "--num_val": "num_val" in numbers,
    }
    for option, is_given in given.items():
        if is_given:
            raise ValueError(
                f"{option} applies to shapes only and cannot be combined with --sources: leave it "
                "out."
            )
    cutouts = TWO_MOTIONS if arguments.two_motions else ONE_MOTION
    folder = generate_cutout_dataset(
        arguments.out, sources=arguments.sources, **shared, settings=cutouts
    )
    task = "order" if arguments.two_motions else "motion"
    logger.info("Use it with pks4 evidence --task %s --data.root %s", task, folder)
