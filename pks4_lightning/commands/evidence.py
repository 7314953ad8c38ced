"""``pks4 evidence``: compare PKS⁴'s parts on real clips whose class depends on frame order."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from pks4_lightning.cli.arguments import RangeAction, add_rates, add_trainings, take_settings
from pks4_lightning.cli.settings import resolve
from pks4_lightning.experiments.ablations import TABLES, ablation_arms, with_trained_routes
from pks4_lightning.experiments.comparison import Right
from pks4_lightning.experiments.cross_validation import (
    CrossValidation,
    Runs,
    cross_validate,
    hold_out,
)
from pks4_lightning.experiments.evidence.arms import arm_keys, evidence_arms
from pks4_lightning.experiments.evidence.priors import priors_picture
from pks4_lightning.experiments.evidence.probes import probe_clips
from pks4_lightning.experiments.evidence.report import report_tables, save_figures
from pks4_lightning.experiments.evidence.tasks import TASKS, EvidenceTask, evidence_clips
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.experiments.listed_clips import as_reported
from pks4_lightning.experiments.model_cost import num_blocks
from pks4_lightning.experiments.plan import Arm, by_table
from pks4_lightning.experiments.settings import require_data
from pks4_lightning.files import write_json
from pks4_lightning.tables import print_tables

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_CONFIG = "egogestar"
# no choice depends on validation clips, so none are evaluated; a share, as in the recorded hashes
_NO_CHOICE = ("--trainer.limit_val_batches", "0.0")
_FOLDS = 5

EXAMPLES = """\
examples:
  pks4 evidence --data.root /data/EgoGestAR/testvideo --seeds 0 1 2 3 4
  pks4 evidence --data.root /data/EgoGestAR/testvideo --arms full ks4 average --probes
  pks4 evidence --data.root /data/EgoGestAR/testvideo --task gestures --data.num_frames 16
  pks4 evidence --data.root /data/EgoGestAR/testvideo --arms --probes      # trains nothing
  pks4 demo-data --sources /data/EgoGestAR/testvideo --out data/motion
  pks4 evidence --data.root data/motion --task motion --out runs/motion
  pks4 evidence --data.root data/motion --task motion --out runs/motion --table 5 6 8 9
  pks4 demo-data --sources /data/EgoGestAR/testvideo --out data/order --two_motions
  pks4 evidence --data.root data/order --task order --out runs/order
The folder holds the clips and index.csv with the columns path, label and group; for the tasks
motion and order, it is made by `pks4 demo-data --sources`. See docs/experiments.md. Any setting of
`pks4 fit` may follow; it applies to all arms. Finished runs are not repeated: call the command
again with more seeds or arms to add them. Tables, figures, answers.csv and comparison.json hold the
arms and seeds of the last call: to have all of them, name all, with --show if they are finished.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command; it also accepts settings of ``pks4 fit``.
    """
    take_settings(parser)
    parser.description = (
        "Train and test PKS⁴ and variants without some of its parts on clips whose class depends "
        "on frame order: gestures with held-out scenes, or cut-outs of real images in controlled "
        "motion. Writes a table with intervals and a figure."
    )
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--arms",
        nargs="*",
        metavar="ARM",
        help=f"any of {', '.join(arm_keys())}; default: all, but none with --table; with --probes, "
        "the list may be empty",
    )
    parser.add_argument(
        "--table",
        type=int,
        nargs="+",
        default=[],
        help=f"also the rows of the paper's ablations: any of {', '.join(map(str, TABLES))}",
    )
    parser.add_argument(
        "--task",
        choices=list(TASKS),
        default="directions",
        help="four directions, all ten gestures, the motion bench, or two motions whose order "
        "matters (default: %(default)s)",
    )
    parser.add_argument(
        "--folds", action=RangeAction, type=int, least=2,
        help=f"folds of a gesture task; default: {_FOLDS}",
    )  # fmt: skip
    add_rates(parser)
    parser.add_argument(
        "--probes", action="store_true", help="add linear probes of the frozen features"
    )
    add_trainings(
        parser,
        out="runs/evidence",
        what="arm and fold",
        holds="the runs, the table and the figures",
    )
    parser.add_argument(
        "--show",
        action="store_true",
        help="only tabulate the folds that all arms have finished with all seeds; train nothing",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run unfinished trainings, show the tables and draw the figures.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        FileNotFoundError: If the clips or their table do not exist.
        ValueError: If there is no such arm, the clips cannot be divided into the folds, or
            ``--folds`` is given for a task that has splits.
    """
    task = TASKS[arguments.task]
    keys = _keys(arguments, task)
    cache = ("--data.token_cache", str((arguments.out / "tokens").absolute()))
    shared = ("--data.train", task.table, *_NO_CHOICE, *cache, *task.arguments)
    base = ["--config", _CONFIG, *shared, *arguments.settings]
    settings = resolve(base)
    arms = evidence_arms(keys)
    if arguments.table:
        of_tables = ablation_arms(arguments.table, num_blocks=num_blocks(settings))
        arms += with_trained_routes(of_tables, settings)
    require_data(settings)
    data = settings["data"]
    clips = as_reported(evidence_clips(Path(data["root"], data["train"]), task), settings)
    num_folds = _FOLDS if arguments.folds is None else arguments.folds
    runs = Runs(
        out=arguments.out,
        base=base,
        seeds=arguments.seeds,
        rates=arguments.rates,
        jobs=arguments.jobs,
        trains=not arguments.show,
    )
    found = _validate(arms, clips, runs, task, num_folds=num_folds)
    rows: dict[int, Right] = {
        number: {arm.name: found.right[arm.row] for arm in of_table}
        for number, of_table in by_table(arms).items()
    }
    if arguments.probes:
        probes = probe_clips(clips, found.clips, base, num_folds=num_folds, out=arguments.out)
        rows[0] = {**rows.get(0, {}), **probes}
    title, chance = f"{arguments.task}, {data['num_frames']} frames", 1 / len(task.classes)
    report = report_tables(rows, found.clips, title=title, chance=chance)
    print_tables(*report.tables)
    write_json(arguments.out / "comparison.json", report.rows)
    videos = Path(data["root"], data["videos"] or "")
    priors = priors_picture(found.trials, found.clips, root=videos)
    figures = report.figures | ({"priors": priors} if priors is not None else {})
    save_figures(figures, arguments.out)
    pictures = ",".join(f"{name}.png" for name in figures)
    logger.info("%s/{results.csv,answers.csv,comparison.json,%s}", arguments.out, pictures)


def _keys(arguments: argparse.Namespace, task: EvidenceTask) -> list[str]:
    """Return the arms to train, apart from those of tables; refuse what cannot be combined."""
    if task.is_split and arguments.folds is not None:
        raise ValueError(
            f"--folds ({arguments.folds}) applies to gestures only: the task {arguments.task} has "
            "a training and a test split. Leave the option out."
        )
    if arguments.arms is None:
        return [] if arguments.table else arm_keys()
    if not arguments.arms and not arguments.table and not arguments.probes:
        raise ValueError("--arms names none: name one, leave it out for all, or add --probes.")
    return list(arguments.arms)


def _validate(
    arms: Sequence[Arm],
    clips: Sequence[GroupedClip],
    runs: Runs,
    task: EvidenceTask,
    *,
    num_folds: int,
) -> CrossValidation:
    """Train and test the arms as the task asks for; without any, only name the tested clips."""
    if not arms:
        tested = [clip for clip in clips if clip.split == "test" or not task.is_split]
        return CrossValidation([], {}, tested)
    if task.is_split:
        return hold_out(arms, clips, runs)
    return cross_validate(arms, clips, runs, num_folds=num_folds)
