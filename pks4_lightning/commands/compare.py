"""``pks4 compare``: train PKS⁴ and the methods the paper compares it with on one task."""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pks4_lightning.cli.arguments import add_folds, add_only_print, add_trainings, take_settings
from pks4_lightning.cli.settings import Settings, resolve
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.experiments.comparison import Right, compare, comparison_table
from pks4_lightning.experiments.cross_validation import cross_validate
from pks4_lightning.experiments.listed_clips import listed_clips
from pks4_lightning.experiments.methods.arms import METHODS, method_arms
from pks4_lightning.experiments.methods.report import method_reports, method_table, methods_figure
from pks4_lightning.experiments.plan import Arm, Trial, commands_of, plan_trials
from pks4_lightning.experiments.processes import CommandError
from pks4_lightning.experiments.results import print_tables, read_results
from pks4_lightning.experiments.runner import RESULTS, run_trials
from pks4_lightning.experiments.settings import require_data
from pks4_lightning.files import atomic_write

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_DEMO = "demo/pks4"
_DEMO_OWN = "demo/methods"
_NUM_TRAIN, _NUM_VAL, _NUM_TEST = 1200, 240, 400
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
        help="folder of configurations MODEL.yaml, each added to the settings of that model, such "
        f"as its own learning rate; default without --config: {_DEMO_OWN}",
    )
    add_trainings(
        parser,
        out="runs/compare",
        what="method",
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
    base, out, own = arguments.settings, arguments.out, arguments.own
    own_data = ""
    if not any(each.startswith("--config=") for each in base):
        own_data = str(out / "data")
        base = ["--config", _DEMO, "--data.root", own_data, *base]
        own = own or _DEMO_OWN
    settings = resolve(base)
    arms = method_arms(arguments.models, settings, own=own)
    if settings["data"]["root"] == own_data:
        generate_motion_dataset(
            out / "data", num_train=_NUM_TRAIN, num_val=_NUM_VAL, num_test=_NUM_TEST
        )
    require_data(settings)
    if arguments.folds is not None:
        _cross_validate(arguments, arms, base, settings)
        return
    trials = plan_trials(arms, base=base, seeds=arguments.seeds, out=out)
    if arguments.only_print:
        sys.stdout.writelines(f"{line}\n" for line in commands_of(trials))
        return
    try:
        run_trials(trials, out=out, jobs=arguments.jobs)
    except (CommandError, KeyboardInterrupt):
        _report([trial for trial in trials if trial.is_finished], out)
        raise
    _report(trials, out)


def _cross_validate(
    arguments: argparse.Namespace, arms: Sequence[Arm], base: Sequence[str], settings: Settings
) -> None:
    """Compare the methods by cross-validation on groups of clips."""
    if arguments.only_print:
        raise ValueError("--print cannot list the trainings of --folds, which build on each other.")
    found = cross_validate(
        arms,
        listed_clips(settings),
        num_folds=arguments.folds,
        out=arguments.out,
        base=base,
        seeds=arguments.seeds,
        jobs=arguments.jobs,
    )
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
    with atomic_write(out / "comparison.json") as path:
        path.write_text(json.dumps(rows, indent=2) + "\n")
    with atomic_write(out / "comparison.png") as path:
        methods_figure(reports).savefig(path)
    print_tables(method_table(reports))
    logger.info("%s/{%s,comparison.json,comparison.png}", out, RESULTS)
