"""Run the trials of an experiment in parallel, and keep its results file."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pks4_lightning.experiments.data_set import keep_data_set
from pks4_lightning.experiments.model_cost import model_cost
from pks4_lightning.experiments.plan import Trial, by_training
from pks4_lightning.experiments.processes import Chain, Command, run_side_by_side
from pks4_lightning.experiments.results import Result, read_results, update_results
from pks4_lightning.experiments.settings import config_hash
from pks4_lightning.progress import time_left
from pks4_lightning.ranges import check_at_least

__all__ = ["RESULTS", "run_trials"]

logger = logging.getLogger(__name__)

RESULTS = "results.csv"
Measure = Callable[[Trial], Mapping[str, float]]


def run_trials(
    trials: Sequence[Trial], *, out: Path, jobs: int = 1, measure: Measure | None = None
) -> list[Result]:
    """Run the unfinished trainings and tests, and write results after each training.

    Args:
        trials: From :func:`~pks4_lightning.experiments.plan.plan_trials`.
        out: Folder of the file ``results.csv``.
        jobs: Number of trainings to run in parallel.
        measure: Computes further measures of a finished trial, from 0 to 1, to store with the rest.

    Returns:
        All results in the file, by table, including those of earlier calls.

    Raises:
        CommandError: If a training or a test fails; finished results are kept.
        ValueError: If ``jobs`` is less than 1, or the folder has results of a row with other
            settings, or of other clips.
    """
    check_at_least(1, {"jobs": jobs})
    path = out / RESULTS
    if path.is_file():
        _require_same_settings(trials, read_results(path))
    if trials and not trials[0].fold:  # folds have lists of their own
        keep_data_set(out, trials[0].settings)
    groups = by_training(trials)
    began, finished = time.monotonic(), 0

    def record(last: Trial) -> None:
        nonlocal finished
        finished += 1
        left = time_left(time.monotonic() - began, done=finished, total=len(groups))
        update_results(path, _collect(trials, measure))
        ours = _result(last, measure)
        logger.info(
            "%d of %d  %s: top-1 %.1f %%, %.0f s of training%s",
            *(finished, len(groups), last.name, 100.0 * ours.top1, ours.seconds, left),
        )

    on_cpu = all(trial.settings["trainer"]["accelerator"] == "cpu" for trial in trials)
    run_side_by_side(
        [_chain(group, record) for group in groups], jobs=jobs, num_threads=1 if on_cpu else None
    )
    return update_results(path, _collect(trials, measure))


def _collect(trials: Iterable[Trial], measure: Measure | None) -> list[Result]:
    """Read finished results; a training shared by several rows appears under each of them."""
    return [_result(trial, measure) for trial in trials if trial.is_finished]


def _result(trial: Trial, measure: Measure | None) -> Result:
    metrics = json.loads((trial.test_folder / "test" / "metrics.json").read_text(encoding="utf-8"))
    cost = json.loads((trial.folder / "checkpoints" / "cost.json").read_text(encoding="utf-8"))
    params, gflops = model_cost(trial.settings)
    return Result(
        table=trial.arm.table,
        row=trial.arm.name,
        seed=trial.seed,
        params=params,
        gflops=gflops,
        top1=metrics["test/video_top1"],
        top5=metrics["test/video_top5"],
        seconds=cost["seconds"],
        peak_memory_mb=cost["peak_memory_mb"],
        commit=cost["commit"],
        config_hash=config_hash(trial.settings),
        fold=trial.fold,
        measures=dict(measure(trial)) if measure else {},
    )


def _require_same_settings(trials: Iterable[Trial], before: Iterable[Result]) -> None:
    """Refuse to mix results of different settings in one row."""
    planned = {(trial.arm.table, trial.arm.name, trial.fold): trial for trial in trials}
    for result in before:
        trial = planned.get((result.table, result.row, result.fold))
        if trial is not None and config_hash(trial.settings) != result.config_hash:
            raise ValueError(
                f"{trial.arm.row} has results from different settings (config_hash "
                f"{result.config_hash}): choose another --out."
            )


def _chain(group: Sequence[Trial], record: Callable[[Trial], None]) -> Chain:
    """Return the chain of a training and its tests."""
    first, last = group[0], group[-1]
    fit = Command(
        name=f"training {first.name}",
        arguments=first.fit,
        log=first.folder / "fit.log",
        progress=first.folder / "progress.json",
    )
    tests = [
        Command(
            name=f"testing {trial.name}",
            arguments=trial.test,
            log=trial.test_folder / "test.log",
            progress=trial.test_folder / "progress.json",
        )
        for trial in group
    ]
    return Chain(
        commands=(fit, *tests),
        on_success=lambda: record(last),
        lock=first.folder / "running.lock",
    )
