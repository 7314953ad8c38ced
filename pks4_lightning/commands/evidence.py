"""``pks4 evidence``: PKS⁴'s parts on real clips, cross-validated by scene."""

import argparse
import json
import logging
import sys
from pathlib import Path

from rich.console import Console

from pks4_lightning.cli.arguments import add_trainings, take_settings
from pks4_lightning.cli.settings import resolve
from pks4_lightning.experiments.comparison import compare, comparison_table
from pks4_lightning.experiments.cross_validation import cross_validate
from pks4_lightning.experiments.evidence import TASKS, arm_keys, evidence_arms, evidence_clips
from pks4_lightning.experiments.settings import require_data
from pks4_lightning.files import atomic_write
from pks4_lightning.pictures.intervals import Bar, interval_figure

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_CONFIG = "egogestar"
# no clip chooses anything, so none is looked at before the test
_DATA = ("--data.train", "index.csv", "--trainer.limit_val_batches", "0")

EXAMPLES = """\
examples:
  pks4 evidence --data.root /data/EgoGestAR/testvideo --seeds 0 1 2 3 4
  pks4 evidence --data.root /data/EgoGestAR/testvideo --arms full ks4 average --seeds 0
  pks4 evidence --data.root /data/EgoGestAR/testvideo --task gestures --data.num_frames 16
The folder holds the clips, and index.csv with the columns path, label and group; see
docs/experiments.md. Any setting of `pks4 fit` may follow, for all arms. What is finished is not
done again: a later call with more seeds or arms goes on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's; settings of ``pks4 fit`` may follow them.
    """
    take_settings(parser)
    parser.description = (
        "Train and test PKS⁴ and what is left of it without some of its parts on gestures whose "
        "order decides, on held-out scenes: one table with intervals, one picture."
    )
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--arms",
        nargs="+",
        default=arm_keys(),
        metavar="ARM",
        help=f"any of {', '.join(arm_keys())}; default: all",
    )
    parser.add_argument(
        "--task",
        choices=list(TASKS),
        default="directions",
        help="four directions or all ten gestures (default: %(default)s)",
    )
    parser.add_argument("--folds", type=int, default=5, help="default: 5")
    add_trainings(
        parser,
        out="runs/evidence",
        seeds="five trainings of each",
        holds="the trainings, the table and the picture",
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="train nothing: tabulate the folds that all arms have finished with all seeds",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train and test what is not finished, show the table, draw the picture.

    Args:
        arguments: The command's.

    Raises:
        FileNotFoundError: If the clips or their table are not there.
        ValueError: If there is no such arm, or the clips do not make the folds.
    """
    task = TASKS[arguments.task]
    arms = evidence_arms(arguments.arms)
    cache = ("--data.token_cache", str((arguments.out / "tokens").absolute()))
    base = ["--config", _CONFIG, *_DATA, *cache, *task.arguments, *arguments.settings]
    settings = resolve(base)
    require_data(settings)
    data = settings["data"]
    right = cross_validate(
        arms,
        evidence_clips(Path(data["root"], data["train"]), task),
        num_folds=arguments.folds,
        out=arguments.out,
        base=base,
        seeds=arguments.seeds,
        jobs=arguments.jobs,
        trains=not arguments.show,
    ).right
    rows = compare({arm.name: right[arm.row] for arm in arms})
    title = f"{arguments.task}, {data['num_frames']} frames"
    with atomic_write(arguments.out / "comparison.json") as path:
        path.write_text(json.dumps({title: rows}, indent=1) + "\n")
    bars = [Bar(row["row"], row["top1"], row["top1_low"], row["top1_high"]) for row in rows]
    with atomic_write(arguments.out / "comparison.png") as path:
        interval_figure(bars, title=title, chance=1 / len(task.classes)).savefig(path)
    # in a file, as wide as the table is; rich would take 80 columns
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(comparison_table(rows, title=title))
    logger.info("%s/{results.csv,answers.csv,comparison.json,comparison.png}", arguments.out)
