"""``pks4 compare``: train PKS⁴ and the methods the paper compares it with on one task."""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pks4_lightning.cli.arguments import add_folds, add_only_print, add_trainings, take_settings
from pks4_lightning.commands.trainings import Task
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.experiments.comparison import Right, compare, comparison_table
from pks4_lightning.experiments.cross_validation import Runs, cross_validate
from pks4_lightning.experiments.listed_clips import listed_clips
from pks4_lightning.experiments.methods.arms import METHODS, method_arms
from pks4_lightning.experiments.methods.report import method_reports, method_table, methods_figure
from pks4_lightning.experiments.plan import Arm, Trial, commands_of, plan_trials
from pks4_lightning.experiments.processes import CommandError
from pks4_lightning.experiments.results import read_results
from pks4_lightning.experiments.runner import RESULTS, run_trials
from pks4_lightning.files import write_json
from pks4_lightning.pictures.style import save_figure
from pks4_lightning.tables import print_tables

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_DEMO = "demo/pks4"
_DEMO_OWN = "demo/methods"
_GENERATE = partial(generate_motion_dataset, num_train=1200, num_val=240, num_test=400)
_DEFAULT = (
    *("pks4", "st_adapter", "aim", "evl", "side4video"),
    *("videomamba_ti", "frame_average", "tsm"),
)

EXAMPLES = """\
examples:
  pks4 compare --seeds 0 1 2 --jobs 2                  # on the demo's videos, generated first
  pks4 compare --models pks4 side4video frame_average
  pks4 compare --config ssv2 --data.root /data/ssv2 --models pks4 st_adapter aim --own my_methods
  pks4 compare --config my.yaml --data.train clips.csv --folds 5 --seeds 0 1 2
  pks4 compare --config ssv2 --data.root /data/ssv2 --print > jobs.txt   # for a cluster
Any setting of `pks4 fit` may follow; it applies to all models, but a file in --own takes
precedence. Finished trainings are not repeated. Inserted methods are sized to fit the tower, and
whole networks start from random weights; a file in --own can change both.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command; it also accepts settings of ``pks4 fit``.
    """
    take_settings(parser)
    parser.description = (
        "Train and test methods on the same data with the same seeds, and compare accuracy and "
        "cost in one table and one picture."
    )
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--models",
        nargs="+",
        default=list(_DEFAULT),
        metavar="MODEL",
        help=f"any of {', '.join(METHODS)}; default: {' '.join(_DEFAULT)}",
    )
    parser.add_argument(
        "--own",
        metavar="FOLDER",
        help="folder with configurations MODEL.yaml, each added to the settings of that model, for "
        f"example a learning rate of its own; without --config {_DEMO_OWN}",
    )
    add_trainings(
        parser,
        out="runs/compare",
        seeds="one training of each",
        holds="the trainings, the table and the picture",
    )
    add_folds(parser)
    add_only_print(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the unfinished trainings, show the table and draw the picture.

    If a training fails or the command is interrupted, both cover the trainings that are finished.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        CommandError: If a training or a test fails.
        FileNotFoundError: If the data set does not exist.
        ValueError: If there is no such method, or the settings are not those of PKS⁴.
    """
    task, out = Task.of(arguments, demo=_DEMO), arguments.out
    own = arguments.own or (_DEMO_OWN if task.is_demo else None)
    arms = method_arms(arguments.models, task.settings, own=own)
    task.provide_data(_GENERATE)
    if arguments.folds is not None:
        _cross_validate(arguments, arms, task)
        return
    trials = plan_trials(arms, base=task.base, seeds=arguments.seeds, out=out)
    if arguments.only_print:
        sys.stdout.writelines(f"{line}\n" for line in commands_of(trials))
        return
    try:
        run_trials(trials, out=out, jobs=arguments.jobs)
    except (CommandError, KeyboardInterrupt):
        _report([trial for trial in trials if trial.is_finished], out)
        raise
    _report(trials, out)


def _cross_validate(arguments: argparse.Namespace, arms: Sequence[Arm], task: Task) -> None:
    """Compare the methods by cross-validation on groups of clips."""
    runs = Runs(out=arguments.out, base=task.base, seeds=arguments.seeds, jobs=arguments.jobs)
    clips = listed_clips(task.settings)
    found = cross_validate(arms, clips, runs, num_folds=arguments.folds)
    rows = compare(found.right)
    print_tables(comparison_table(rows, title=f"{arguments.folds} folds"))
    _report(found.trials, arguments.out, found.right, rows)


def _report(
    finished: Sequence[Trial],
    out: Path,
    right: Right | None = None,
    compared: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write and show the reports; of a cross-validation, with intervals and paired differences."""
    if not finished:
        return
    reports = method_reports(finished, read_results(out / RESULTS), right)
    intervals = {row["row"]: row for row in compared}
    rows = [{**intervals.get(each.method, {}), **each.as_dict()} for each in reports]
    write_json(out / "comparison.json", rows)
    save_figure(methods_figure(reports), out / "comparison.png")
    print_tables(method_table(reports))
    logger.info("%s/{%s,comparison.json,comparison.png}", out, RESULTS)
