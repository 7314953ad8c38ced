"""``pks4 demo``: train and test PKS⁴ and a baseline on small generated videos."""

import argparse
import logging
from functools import partial
from pathlib import Path

from pks4_lightning.cli.arguments import RangeAction
from pks4_lightning.demo.motion.dataset import generate_motion_dataset
from pks4_lightning.demo.report import MODELS, demo_summary, draw_pictures, measure
from pks4_lightning.experiments.ablations import FRAME_AVERAGING
from pks4_lightning.experiments.plan import Arm, plan_trials
from pks4_lightning.experiments.results import results_table
from pks4_lightning.experiments.runner import run_trials
from pks4_lightning.files import write_json
from pks4_lightning.tables import print_tables

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)

_CONFIG = "demo/pks4"
_ARMS = (Arm(MODELS["pks4"]), Arm(MODELS["baseline"], FRAME_AVERAGING))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Generate videos in time-reversal pairs, train and test PKS⁴ and a baseline that averages "
        "frames, and compare them. Finished steps are not repeated."
    )
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder")
    parser.add_argument(
        "--seeds", action=RangeAction, type=int, least=0, nargs="+", default=[0],
        help="train each model once per seed",
    )  # fmt: skip
    for name, least, default, meaning in (
        ("jobs", 1, 2, "number of trainings to run in parallel"),
        ("epochs", 1, None, "number of epochs; default: the configuration's"),
        ("num_train", 2, 1200, "number of training videos"),
        ("num_val", 2, 240, "number of validation videos"),
        ("num_test", 2, 400, "number of test videos"),
    ):
        parser.add_argument(
            f"--{name}", action=RangeAction, type=int, least=least, default=default, help=meaning
        )


def run(arguments: argparse.Namespace) -> None:
    """Generate the data, train and test both models, and show the results.

    Args:
        arguments: The parsed arguments of the command.

    Raises:
        ValueError: If the folder contains something else.
    """
    out = arguments.out
    data = generate_motion_dataset(
        out / "data",
        num_train=arguments.num_train,
        num_val=arguments.num_val,
        num_test=arguments.num_test,
    )
    base = ["--config", _CONFIG, "--data.root", str(data)]
    if arguments.epochs is not None:
        base += ["--trainer.max_epochs", str(arguments.epochs)]
    trials = plan_trials(_ARMS, base=base, seeds=arguments.seeds, out=out)
    results = run_trials(trials, out=out, jobs=arguments.jobs, measure=partial(measure, data=data))
    write_json(out / "results.json", demo_summary(results))
    pictures = draw_pictures(trials, data=data, folder=out)
    seeds = sorted({result.seed for result in results})
    table = results_table(
        _ARMS,
        results,
        title=f"Test split, seed {', '.join(map(str, seeds))}",
        shares=("top1", "top5", "pair", "direction"),
        # with spreads, these columns would not fit
        costs=("params", "seconds") if len(seeds) == 1 else (),
        caption="direction: accuracy, given the correct pair; seconds of training on one thread",
    )
    print_tables(table)
    for path in (out / "results.json", *pictures):
        logger.info("%s", path)
    logger.info(
        "To label a video yourself: pks4 predict --ckpt_path %s %s",
        trials[0].folder / "checkpoints" / "best.ckpt",
        next((data / "videos").iterdir()),
    )
