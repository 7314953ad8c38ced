"""``pks4 ablate``: train and test the rows of the paper's ablations, Tables 5 to 9."""

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial

from pks4_lightning.cli.arguments import (
    add_folds,
    add_only_print,
    add_rates,
    add_trainings,
    take_settings,
)
from pks4_lightning.commands.trainings import Task
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.motion.settings import HARD
from pks4_lightning.experiments.ablations import (
    TABLES,
    ablation_arms,
    reading_arms,
    with_trained_routes,
)
from pks4_lightning.experiments.comparison import compare, comparison_table
from pks4_lightning.experiments.cross_validation import Runs, cross_validate
from pks4_lightning.experiments.listed_clips import listed_clips
from pks4_lightning.experiments.model_cost import num_blocks
from pks4_lightning.experiments.plan import Arm, by_table, commands_of, plan_trials
from pks4_lightning.experiments.results import results_table
from pks4_lightning.experiments.runner import RESULTS, run_trials
from pks4_lightning.files import write_json
from pks4_lightning.tables import print_tables

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_DEMO = "demo/ablation"
_GENERATE = partial(
    generate_motion_dataset, num_train=1000, num_val=120, num_test=480, settings=HARD
)

EXAMPLES = """\
examples:
  pks4 ablate --seeds 0 1 2 --jobs 2                   # all tables, on a small generated set
  pks4 ablate --config ssv2 --data.root /data/ssv2 --table 5
  pks4 ablate --config ssv2 --data.root /data/ssv2 --print > jobs.txt   # for a cluster
  pks4 ablate --config my.yaml --data.train clips.csv --table 5 --folds 5 --seeds 0 1 2
  pks4 ablate --readings --seeds 0 1 2                 # other readings of the paper
Any setting of `pks4 fit` may follow; it applies to all rows. Finished trainings are not repeated,
and identical settings are trained once. After --print, run the same command without it to collect
the results.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command; it also accepts settings of ``pks4 fit``.
    """
    take_settings(parser)
    parser.description = "Train and test the rows of the paper's ablation tables."
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--table",
        type=int,
        nargs="+",
        default=[],
        help=f"any of {', '.join(map(str, TABLES))}; default: all",
    )
    parser.add_argument(
        "--readings",
        action="store_true",
        help="other readings of the paper, and controls in place of the scanner; without --table, "
        "these alone",
    )
    add_trainings(
        parser,
        out="runs/ablations",
        what="row",
        holds="the trainings and of results.csv",
    )
    add_folds(parser)
    add_rates(parser)
    add_only_print(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the unfinished trainings, write the results file and show the tables.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        FileNotFoundError: If the data set does not exist.
        ValueError: If a table is not an ablation, or the settings name no data set.
    """
    if arguments.rates and arguments.folds is None:
        raise ValueError("--rates are chosen on held-out groups of clips: add --folds.")
    task, out = Task.of(arguments, demo=_DEMO), arguments.out
    tables = arguments.table or ([] if arguments.readings else TABLES)
    arms = with_trained_routes(
        ablation_arms(tables, num_blocks=num_blocks(task.settings)), task.settings
    )
    arms += reading_arms() if arguments.readings else []
    task.provide_data(_GENERATE)
    if arguments.folds is not None:
        _cross_validate(arguments, arms, task)
        return
    trials = plan_trials(arms, base=task.base, seeds=arguments.seeds, out=out)
    if arguments.only_print:
        sys.stdout.writelines(f"{line}\n" for line in commands_of(trials))
        return
    results = run_trials(trials, out=out, jobs=arguments.jobs)
    for table, rows in by_table(arms).items():
        print_tables(results_table(rows, results, title=_title(table)))
    logger.info("%s", out / RESULTS)


def _cross_validate(arguments: argparse.Namespace, arms: Sequence[Arm], task: Task) -> None:
    """Compare the rows of each table on held-out groups of clips."""
    runs = Runs(
        out=arguments.out,
        base=task.base,
        seeds=arguments.seeds,
        rates=arguments.rates,
        jobs=arguments.jobs,
    )
    clips = listed_clips(task.settings)
    right = cross_validate(arms, clips, runs, num_folds=arguments.folds).right
    summary = {}
    for table, of_table in by_table(arms).items():
        title = _title(table)
        rows = compare({arm.name: right[arm.row] for arm in of_table})
        summary[title] = rows
        print_tables(comparison_table(rows, title=title))
    write_json(arguments.out / "comparison.json", summary)
    logger.info("%s/{results.csv,answers.csv,comparison.json}", arguments.out)


def _title(table: int) -> str:
    return f"Table {table}" if table else "Readings"
