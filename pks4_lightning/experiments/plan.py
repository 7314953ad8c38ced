"""Plan an experiment: arms, seeds, and the resulting commands."""

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.cli.settings import Settings, resolve
from pks4_lightning.experiments.settings import training_hash
from pks4_lightning.paper.tables import Row

__all__ = ["Arm", "Fold", "Trial", "by_table", "by_training", "commands_of", "plan_trials"]


@dataclass(frozen=True)
class Arm:
    """One row of a table of results: a name and its settings."""

    name: str
    arguments: tuple[str, ...] = ()
    """Settings added to the arguments of ``pks4 fit`` that all arms share."""
    table: int = 0
    """Number of the paper's table it belongs to; 0 for none."""
    paper: Row | None = None
    """The paper's row, if there is one."""

    @property
    def row(self) -> str:
        """Its name, preceded by the table it belongs to."""
        return f"Table {self.table}, {self.name}" if self.table else self.name


@dataclass(frozen=True)
class Fold:
    """A part of the videos that is held out for the test."""

    number: int = 0
    """Number of the fold, from 1; 0 stands for the data set's own split."""
    arguments: tuple[str, ...] = ()
    """Arguments added to ``pks4 fit``: the location of the videos, not settings."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One arm, trained and tested with one seed."""

    arm: Arm
    seed: int
    fit: tuple[str, ...]
    """Arguments of ``pks4`` that start or resume the training."""
    settings: Settings
    """All settings of the training."""
    folder: Path
    """Folder of the training; arms that differ only in test views share it."""
    fold: int = 0

    @property
    def name(self) -> str:
        """Name shown to the user."""
        return f"{self.arm.row}, seed {self.seed}{f', fold {self.fold}' if self.fold else ''}"

    @property
    def test_folder(self) -> Path:
        """Output folder of the test, specific to each choice of views."""
        data = self.settings["data"]
        return self.folder / f"views_{data['num_clips']}x{data['num_crops']}"

    @property
    def test(self) -> tuple[str, ...]:
        """Arguments of ``pks4`` that run the test."""
        data = self.settings["data"]
        return (
            *("test", "--ckpt_path", str(self.folder / "checkpoints" / "best.ckpt")),
            *("--data.num_clips", str(data["num_clips"])),
            *("--data.num_crops", str(data["num_crops"])),
            *("--trainer.default_root_dir", str(self.test_folder)),
        )

    @property
    def is_finished(self) -> bool:
        """Whether the test has written its results."""
        return (self.test_folder / "test" / "metrics.json").is_file()


def plan_trials(
    arms: Sequence[Arm],
    *,
    out: Path,
    base: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    fold: Fold = Fold(),
) -> list[Trial]:
    """List the trainings and tests, all arms with one seed before the next seed.

    Args:
        arms: The rows of the tables.
        out: Folder of all trainings. Each has a subfolder named after the hash of its settings, so
            arms with equal settings are trained once.
        base: Arguments of ``pks4 fit`` that all arms share.
        seeds: Seeds of the weights, the order of the videos and all random draws; each once.
        fold: The fold that is held out.

    Raises:
        ValueError: If the arguments are not valid settings of ``pks4 fit``.
    """
    settings = [resolve([*base, *arm.arguments]) for arm in arms]
    folders: dict[str, Path] = {}
    for arm, resolved in zip(arms, settings, strict=True):
        digest = training_hash(resolved)
        found = sorted(out.glob(f"*{digest}"))
        folders.setdefault(digest, found[0] if found else out / f"{_slug(arm.name)}-{digest}")
    place = f"_fold{fold.number}" if fold.number else ""
    trials = []
    for seed in dict.fromkeys(seeds):
        for arm, resolved in zip(arms, settings, strict=True):
            folder = folders[training_hash(resolved)] / f"seed{seed}{place}"
            repeat = ("--seed_everything", str(seed), "--data.seed", str(seed))
            start = ("--trainer.default_root_dir", str(folder), "--ckpt_path", "auto")
            fit = ("fit", *base, *arm.arguments, *fold.arguments, *repeat, *start)
            trials.append(Trial(arm, seed, fit, resolved, folder, fold.number))
    return trials


def by_table(arms: Iterable[Arm]) -> dict[int, list[Arm]]:
    """Group arms by the paper's table they belong to.

    Args:
        arms: Arms in any order.

    Returns:
        The arms of each table, by its number; 0 for those that belong to none.
    """
    tables: dict[int, list[Arm]] = {}
    for arm in arms:
        tables.setdefault(arm.table, []).append(arm)
    return tables


def by_training(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Group unfinished trials by training, with each choice of test views once.

    Args:
        trials: From :func:`plan_trials`.
    """
    groups: dict[Path, dict[Path, Trial]] = {}
    for trial in trials:
        if not trial.is_finished:
            groups.setdefault(trial.folder, {}).setdefault(trial.test_folder, trial)
    return [list(group.values()) for group in groups.values()]


def commands_of(trials: Iterable[Trial]) -> list[str]:
    """Return the remaining commands for a shell, one line per training with its tests.

    Args:
        trials: From :func:`plan_trials`.
    """
    lines = []
    for group in by_training(trials):
        commands = [group[0].fit, *(trial.test for trial in group)]
        lines.append(" && ".join(shlex.join(("pks4", *command)) for command in commands))
    return lines


def _slug(name: str) -> str:
    """Return a name in a form suitable for a folder."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
