"""Trainings and tests of an ablation: which there are, which are done, and running the rest."""

import json
import logging
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.experiments.model_cost import model_cost
from pks4_lightning.experiments.processes import Command, run_side_by_side
from pks4_lightning.experiments.results import Result
from pks4_lightning.experiments.settings import (
    Settings,
    config_hash,
    read_settings,
    training_hash,
)
from pks4_lightning.paper.rows import PlannedRow

__all__ = ["Trial", "collect", "commands_of", "plan_trials", "require_same_settings", "run_trials"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Trial:
    """One row of a table with one seed."""

    row: PlannedRow
    seed: int
    fit: tuple[str, ...]
    """Arguments of ``pks4`` that start the training, or continue it."""
    settings: Settings
    folder: Path
    """Of the training, which rows that differ in test views share."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"Table {self.row.table}, {self.row.name}, seed {self.seed}"

    @property
    def test_folder(self) -> Path:
        """Where the test writes: a place of its own for each choice of views."""
        data = self.settings["data"]
        return self.folder / f"views_{data['num_clips']}x{data['num_crops']}"

    @property
    def test(self) -> tuple[str, ...]:
        """Arguments of ``pks4`` that test the training."""
        data = self.settings["data"]
        return (
            *("test", "--ckpt_path", str(self.folder / "checkpoints" / "best.ckpt")),
            *("--data.num_clips", str(data["num_clips"])),
            *("--data.num_crops", str(data["num_crops"])),
            *("--trainer.default_root_dir", str(self.test_folder)),
        )

    @property
    def is_finished(self) -> bool:
        """Whether the test has written its numbers."""
        return (self.test_folder / "test" / "metrics.json").is_file()


def plan_trials(
    rows: Sequence[PlannedRow], *, base: Sequence[str], num_seeds: int, out: Path
) -> list[Trial]:
    """List what there is to train and test, all rows of one seed before the next seed.

    Args:
        rows: The tables' rows.
        base: Arguments of ``pks4 fit`` that all rows share.
        num_seeds: Seeds 0, 1, ...
        out: Folder of all trainings; each has a folder named after its settings and its seed.
    """
    trials = []
    for seed in range(num_seeds):
        for row in rows:
            arguments = [*base, *row.arguments]
            settings = read_settings(arguments)
            folder = out / training_hash(settings) / f"seed{seed}"
            seeds = ("--seed_everything", str(seed), "--data.seed", str(seed))
            start = ("--trainer.default_root_dir", str(folder), "--ckpt_path", "auto")
            fit = ("fit", *arguments, *seeds, *start)
            trials.append(Trial(row, seed, fit, settings, folder))
    return trials


def commands_of(trials: Iterable[Trial]) -> list[str]:
    """Spell what is left to do for a shell, a line for each training with its tests.

    Args:
        trials: From :func:`plan_trials`.
    """
    lines = []
    for group in _by_training(trials):
        commands = [group[0].fit, *(trial.test for trial in group)]
        lines.append(" && ".join(shlex.join(("pks4", *command)) for command in commands))
    return lines


def require_same_settings(trials: Iterable[Trial], before: Iterable[Result]) -> None:
    """Refuse to mix results of different settings in one row.

    Args:
        trials: From :func:`plan_trials`.
        before: What there is already.

    Raises:
        ValueError: If a row has been run with other settings.
    """
    planned = {(each.row.table, each.row.name): each for each in trials}
    for result in before:
        trial = planned.get((result.table, result.row))
        if trial is not None and config_hash(trial.settings) != result.config_hash:
            raise ValueError(
                f"{trial.name.rpartition(',')[0]} has results of other settings "
                f"(config_hash {result.config_hash}): choose another --out."
            )


def run_trials(trials: Sequence[Trial], *, at_once: int, record: Callable[[], object]) -> None:
    """Train and test what is not finished, and say so after each training.

    Args:
        trials: From :func:`plan_trials`.
        at_once: Trainings side by side.
        record: Called after each training and its tests.

    Raises:
        CommandError: If a training or a test fails; what is finished stays.
    """
    groups = _by_training(trials)
    progress = _Progress(len(groups), record)
    chains = [_chain(group, progress) for group in groups]
    on_cpu = all(trial.settings.get("trainer", {}).get("accelerator") == "cpu" for trial in trials)
    run_side_by_side(
        chains, at_once=at_once, folder=Path(), num_threads=1 if on_cpu else None, brief=True
    )


def collect(trials: Iterable[Trial]) -> list[Result]:
    """Read the numbers of what is finished.

    Args:
        trials: From :func:`plan_trials`.

    Returns:
        In the order of the trials; identical settings under several rows' names.
    """
    return [_result(trial) for trial in trials if trial.is_finished]


def _result(trial: Trial) -> Result:
    metrics = json.loads((trial.test_folder / "test" / "metrics.json").read_text())
    cost = json.loads((trial.folder / "checkpoints" / "cost.json").read_text())
    params, gflops = model_cost(trial.settings)
    return Result(
        table=trial.row.table,
        row=trial.row.name,
        seed=trial.seed,
        params=params,
        gflops=gflops,
        top1=metrics["test/video_top1"],
        top5=metrics["test/video_top5"],
        seconds=cost["seconds"],
        peak_memory_mb=cost["peak_memory_mb"],
        commit=cost["commit"],
        config_hash=config_hash(trial.settings),
    )


class _Progress:
    """Says after each training what came out and how long the rest will take."""

    def __init__(self, total: int, record: Callable[[], object]) -> None:
        self._total, self._done = total, 0
        self._record = record
        self._start = time.monotonic()

    def finish(self, trial: Trial) -> None:
        """Count a training with all its tests."""
        self._done += 1
        elapsed = time.monotonic() - self._start
        left = elapsed / self._done * (self._total - self._done)
        result = _result(trial)
        logger.info(
            "%d of %d  %s: top-1 %.1f %%, %.0f s of training; about %.0f min left",
            *(self._done, self._total, trial.name, 100.0 * result.top1, result.seconds),
            left / 60.0,
        )
        self._record()


def _by_training(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Group what is not finished by training, each choice of views once."""
    groups: dict[Path, dict[Path, Trial]] = {}
    for trial in trials:
        if not trial.is_finished:
            groups.setdefault(trial.folder, {}).setdefault(trial.test_folder, trial)
    return [list(group.values()) for group in groups.values()]


def _chain(group: Sequence[Trial], progress: _Progress) -> list[Command]:
    first, last = group[0], group[-1]
    lock = first.folder / "running.lock"
    fit = Command(
        name=f"training {first.name}",
        arguments=first.fit,
        log=first.folder / "fit.log",
        on_success=lambda: None,
        lock=lock,
    )
    tests = [
        Command(
            name=f"testing {trial.name}",
            arguments=trial.test,
            log=trial.test_folder / "test.log",
            on_success=(lambda: progress.finish(last)) if trial is last else lambda: None,
            lock=lock,
        )
        for trial in group
    ]
    return [fit, *tests]
