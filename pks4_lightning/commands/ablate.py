"""``pks4 ablate``: the rows of the paper's Tables 5 to 9, trained, tested, beside the paper's."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from pks4_lightning.experiments.model_cost import num_blocks
from pks4_lightning.experiments.processes import CommandError
from pks4_lightning.experiments.results import (
    Result,
    read_results,
    results_table,
    update_results,
)
from pks4_lightning.experiments.settings import read_settings
from pks4_lightning.experiments.trials import (
    Trial,
    collect,
    commands_of,
    plan_trials,
    require_same_settings,
    run_trials,
)
from pks4_lightning.paper.rows import TABLES, find_overrides, plan_rows

__all__ = ["main"]

logger = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Train and test what is not finished, write the results file, show the tables.

    Args:
        argv: Arguments; ``None`` takes the process's own.

    Returns:
        The exit status: 0, 1 after saying what went wrong, or 130 if interrupted.
    """
    arguments, others = _parser().parse_known_args(argv)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("pks4_lightning").setLevel(logging.INFO)
    try:
        _run(arguments, others)
    except (CommandError, ValueError, OSError) as error:
        sys.stderr.write(f"pks4: error: {error}\n")
        return 1
    except KeyboardInterrupt:
        logger.error("Stopped; the same command continues from the last whole epoch.")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pks4 ablate",
        description="Train and test the rows of the paper's ablation tables on any configuration. "
        "What is finished is not done again, equal settings are run once. Other options, such as "
        "--data.root FOLDER, go to every training.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", nargs="+", required=True, help="what the rows vary")
    parser.add_argument(
        "--table", type=int, nargs="+", required=True, help=f"any of {', '.join(map(str, TABLES))}"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each row: seeds 0, 1, …")
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
        help="print what is left to do, a line for each training; afterwards, the same command "
        "without --print collects the results",
    )
    return parser


def _run(arguments: argparse.Namespace, others: Sequence[str]) -> None:
    for name in ("seeds", "jobs"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"{name} ({getattr(arguments, name)}) must be at least 1.")
    base = [part for path in arguments.config for part in ("--config", path)] + list(others)
    settings = read_settings(base)
    _require_data(settings["data"].get("root"))
    folder = find_overrides()
    rows = plan_rows(arguments.table, num_blocks=num_blocks(settings), folder=folder)
    trials = plan_trials(rows, base=base, num_seeds=arguments.seeds, out=arguments.out)
    if arguments.only_print:
        sys.stdout.writelines(f"{line}\n" for line in commands_of(trials))
        return
    path = arguments.out / "results.csv"
    if path.is_file():
        require_same_settings(trials, read_results(path))
    results = _run_and_record(trials, at_once=arguments.jobs, path=path)
    # in a file, as wide as the tables are; rich would take 80 columns
    console = Console(width=None if sys.stdout.isatty() else 110)
    for number in dict.fromkeys(arguments.table):
        console.print(results_table(number, rows, results))
    logger.info("%s", path)


def _run_and_record(trials: Sequence[Trial], *, at_once: int, path: Path) -> list[Result]:
    """Run what is not finished, and write down what is."""

    def record() -> list[Result]:
        return update_results(path, collect(trials))

    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        run_trials(trials, at_once=at_once, record=record)
    finally:
        signal.signal(signal.SIGTERM, before)
    return record()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _require_data(root: str | None) -> None:
    """Refuse to start without videos."""
    if not root:
        raise ValueError("The configuration names no data set: add --data.root FOLDER.")
    if not Path(root).is_dir():
        raise FileNotFoundError(f"There is no data set in {root}; see the configuration's header.")
