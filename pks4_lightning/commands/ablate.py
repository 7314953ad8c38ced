"""``pks4 ablate``: the rows of the paper's Tables 5 to 9, trained, tested, beside the paper's."""

import argparse
import logging
import sys
from pathlib import Path

from rich.console import Console

from pks4_lightning.cli.arguments import take_settings
from pks4_lightning.cli.settings import resolve
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.motion.settings import HARD
from pks4_lightning.experiments.ablations import TABLES, ablation_arms
from pks4_lightning.experiments.model_cost import num_blocks
from pks4_lightning.experiments.plan import commands_of, plan_trials
from pks4_lightning.experiments.results import results_table
from pks4_lightning.experiments.runner import RESULTS, run_trials
from pks4_lightning.files import find_packaged

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_DEMO = "pks4_lightning/demo/configs/ablation.yaml"
_NUM_VIDEOS = {"num_train": 1000, "num_val": 120, "num_test": 480}

EXAMPLES = """\
examples:
  pks4 ablate --seeds 0 1 2 --jobs 2                   # all tables on a small set that it makes
  pks4 ablate --config ssv2 --data.root /data/ssv2 --table 5
  pks4 ablate --config ssv2 --data.root /data/ssv2 --print > jobs.txt   # for a cluster
Any setting of `pks4 fit` may follow, for all rows alike. What is finished is not done again, equal
settings are trained once. After --print, the same command without it collects the results.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's; settings of ``pks4 fit`` may follow them.
    """
    take_settings(parser)
    parser.description = "Train and test the rows of the paper's ablation tables."
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--table",
        type=int,
        nargs="+",
        default=list(TABLES),
        help=f"any of {', '.join(map(str, TABLES))}; default: all",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one training of each row; default: 0"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/ablations"),
        help="folder of the trainings and of results.csv (default: %(default)s)",
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side")
    parser.add_argument(
        "--print",
        action="store_true",
        dest="only_print",
        help="print the commands that are left, a line for each training, and start none",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train and test what is not finished, write the results file, show the tables.

    Args:
        arguments: The command's.

    Raises:
        FileNotFoundError: If the data set is not there.
        ValueError: If a table is no ablation, or the settings name no data set.
    """
    base, out = arguments.settings, arguments.out
    own_data = ""
    if not any(each.startswith("--config=") for each in base):
        own_data = str(out / "data")
        base = ["--config", find_packaged(_DEMO), "--data.root", own_data, *base]
    settings = resolve(base)
    arms = ablation_arms(arguments.table, num_blocks=num_blocks(settings))
    if settings["data"]["root"] == own_data:
        generate_motion_dataset(out / "data", **_NUM_VIDEOS, settings=HARD)
    _require_data(settings["data"]["root"])
    trials = plan_trials(arms, base=base, seeds=arguments.seeds, out=out)
    if arguments.only_print:
        sys.stdout.writelines(f"{line}\n" for line in commands_of(trials))
        return
    results = run_trials(trials, out=out, jobs=arguments.jobs)
    # in a file, as wide as the tables are; rich would take 80 columns
    console = Console(width=None if sys.stdout.isatty() else 110)
    for number in dict.fromkeys(arguments.table):
        rows = [arm for arm in arms if arm.table == number]
        console.print(results_table(rows, results, title=f"Table {number}"))
    logger.info("%s", out / RESULTS)


def _require_data(root: str | None) -> None:
    """Refuse to start without videos."""
    if not root:
        raise ValueError("The configuration names no data set: add --data.root FOLDER.")
    if not Path(root).is_dir():
        raise FileNotFoundError(f"There is no data set in {root}; see the configuration's header.")
