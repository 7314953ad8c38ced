"""Grouped cross-validation: every arm on the same folds with the same seeds, scored out of fold.

It is for few clips, where a single split would leave too few of them for the test. Every clip is
tested once with every seed, by models trained without its group. No choice depends on test clips:
the weights are those of the last epoch, and learning rates are chosen for each arm and fold on an
inner split of the training clips, whose held-out part is the next fold.

For data sets that are large enough to have a training and a test split, :func:`hold_out` does the
same with that split instead of folds. There, the inner split holds out a fifth of the training
clips, by whole groups.
"""

import csv
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pks4_lightning.experiments.answers import correct, write_answers
from pks4_lightning.experiments.comparison import Right
from pks4_lightning.experiments.folds import GroupedClip, grouped_folds, write_split
from pks4_lightning.experiments.plan import Arm, Fold, Trial, plan_trials
from pks4_lightning.experiments.results import Result
from pks4_lightning.experiments.runner import run_trials
from pks4_lightning.files import write_csv
from pks4_lightning.training.scoring.prediction_files import read_predictions

__all__ = ["CrossValidation", "Runs", "best_rate", "cross_validate", "hold_out", "listed"]

logger = logging.getLogger(__name__)

_RATE = "--model.recipe.base_lr"
_LAST_WEIGHTS = ("--best_checkpoint.monitor", "null")
_INNER_FOLDS = 5


class CrossValidation(NamedTuple):
    """The finished runs and their answers, pooled over the folds."""

    trials: Sequence[Trial]
    right: Right
    """A clip that cannot be decoded counts as wrong."""
    clips: Sequence[GroupedClip]
    """The tested clips, in the order of the answers."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """How the trials of a comparison are run."""

    out: Path
    """Folder of all output: the runs, ``results.csv`` with a line for each run and ``answers.csv``
    with a line for each clip."""
    base: Sequence[str] = ()
    """Arguments of ``pks4 fit`` that all arms share."""
    seeds: Sequence[int] = (0,)
    rates: Sequence[float] = ()
    """Values of ``model.recipe.base_lr`` to choose from. None: the rate in the settings."""
    jobs: int = 1
    """Number of runs in parallel."""
    trains: bool = True
    """If False, train nothing and use the folds that all arms have finished with all seeds."""


def cross_validate(
    arms: Sequence[Arm],
    clips: Sequence[GroupedClip],
    runs: Runs,
    *,
    num_folds: int,
) -> CrossValidation:
    """Train and test every arm on every fold with every seed, except for finished runs.

    Args:
        arms: What to compare.
        clips: All clips, with paths and labels as
            :func:`~pks4_lightning.experiments.listed_clips.as_reported` gives them.
        runs: How they are run; the clips' paths are relative to the ``data.root`` of its settings.
        num_folds: Number of folds; each is held out once. They are written to ``folds.csv``.

    Raises:
        CommandError: If a run fails; finished runs are kept.
        ValueError: If there are fewer groups than folds, a fold would lack a class, there are too
            few folds to choose a rate, the output folder holds other folds or results of other
            settings, or training is disabled and no fold is finished.
    """
    if len(runs.rates) > 1 and num_folds < 3:
        raise ValueError(
            f"{num_folds} folds leave no inner split to choose a learning rate on: ask for at "
            "least 3 folds, or give a single rate."
        )
    folds = grouped_folds(clips, num_folds)
    _keep_folds(runs.out / "folds.csv", clips, folds)

    def inner(number: int) -> Fold:
        test = number % num_folds + 1
        return _fold(runs.out / "rates", clips, folds, test=test, unused=number)

    numbers = range(1, num_folds + 1)
    held_out = {number: _fold(runs.out, clips, folds, test=number) for number in numbers}
    return _validate(arms, clips, folds, held_out, inner, runs)


def hold_out(
    arms: Sequence[Arm],
    clips: Sequence[GroupedClip],
    runs: Runs,
) -> CrossValidation:
    """Train every arm with every seed on the training split and test it, except for finished runs.

    Args:
        arms: What to compare.
        clips: The clips of both splits, named as for :func:`cross_validate`.
        runs: How they are run; its settings include the data set. Each arm has one rate, and
            without training, all arms must be finished with all seeds.

    Raises:
        CommandError: If a run fails; finished runs are kept.
        ValueError: If the training clips come from too few groups to choose a rate, the output
            folder holds results of other settings, or training is disabled and some runs are not
            finished.
    """
    tested = [clip for clip in clips if clip.split == "test"]
    whole = Fold()

    def inner(_number: int) -> Fold:
        training = [clip for clip in clips if clip.split == "train"]
        try:
            folds = grouped_folds(training, _INNER_FOLDS)
        except ValueError as error:
            raise ValueError(
                f"The {len(training)} training clips are too few to choose a rate on a fifth of "
                f"them: give a single rate. {error}"
            ) from error
        return _fold(runs.out / "rates", training, folds, test=1)

    folds = [whole.number] * len(tested)
    return _validate(arms, tested, folds, {whole.number: whole}, inner, runs)


def best_rate(arm: Arm, fold: int, rates: Sequence[float], results: Sequence[Result]) -> float:
    """Return the rate with the highest top-1 on a fold's inner split.

    Args:
        arm: The arm.
        fold: Number of the fold.
        rates: Candidates; of equally good ones, the first is returned.
        results: Results of the inner splits.
    """
    top1 = {(each.table, each.row): each.top1 for each in results if each.fold == fold}
    return max(rates, key=lambda rate: top1[arm.table, _with_rate(arm, rate, named=True).name])


def _validate(
    arms: Sequence[Arm],
    clips: Sequence[GroupedClip],
    folds: Sequence[int],
    held_out: Mapping[int, Fold],
    inner: Callable[[int], Fold],
    runs: Runs,
) -> CrossValidation:
    """Run the trials of all folds, or use the finished folds, and collect their answers.

    Args:
        arms: What to compare.
        clips: The tested clips.
        folds: The fold of each clip.
        held_out: The folds by their numbers.
        inner: Returns the inner split of a fold's training clips, to choose rates on.
        runs: How they are run.
    """
    seeds = list(dict.fromkeys(runs.seeds))
    runs = replace(runs, base=(*runs.base, *_LAST_WEIGHTS), seeds=seeds)
    chosen = _with_rates(arms, held_out, inner, runs)
    trials = [
        trial
        for number, fold in held_out.items()
        for trial in plan_trials(
            chosen[number], out=runs.out, base=runs.base, seeds=runs.seeds, fold=fold
        )
    ]
    trials.sort(key=lambda trial: seeds.index(trial.seed))
    if runs.trains:
        run_trials(trials, out=runs.out, jobs=runs.jobs)
    else:
        left = {trial.fold for trial in trials if not trial.is_finished}
        trials = [trial for trial in trials if trial.fold not in left]
        clips = [clip for clip, fold in zip(clips, folds, strict=True) if fold not in left]
        if not trials:
            raise ValueError(
                f"{runs.out} has no fold yet that all rows have finished with all seeds: leave out "
                "--show to train, or name finished rows and seeds."
            )
    return CrossValidation(trials, _pool(trials, clips, seeds, runs.out / "answers.csv"), clips)


def _with_rates(
    arms: Sequence[Arm],
    numbers: Collection[int],
    inner: Callable[[int], Fold],
    runs: Runs,
) -> dict[int, list[Arm]]:
    """Return the arms of each fold: unchanged, with the only rate, or each with its best one."""
    if len(runs.rates) < 2:
        fixed = [_with_rate(arm, rate, named=False) for rate in runs.rates for arm in arms]
        return dict.fromkeys(numbers, fixed or list(arms))
    out, splits = runs.out / "rates", {number: inner(number) for number in numbers}
    candidates = [_with_rate(arm, rate, named=True) for arm in arms for rate in runs.rates]
    trials = [
        trial
        for split in splits.values()
        for trial in plan_trials(
            candidates, out=out, base=runs.base, seeds=runs.seeds[:1], fold=split
        )
    ]
    left = [trial.name for trial in trials if not trial.is_finished]
    if left and not runs.trains:
        raise ValueError(f"{out} has no result yet for {left[0]}, so no rate can be chosen.")
    results = run_trials(trials, out=out, jobs=runs.jobs)
    chosen: dict[int, list[Arm]] = {number: [] for number in numbers}
    for number, split in splits.items():
        for arm in arms:
            rate = best_rate(arm, split.number, runs.rates, results)
            chosen[number].append(_with_rate(arm, rate, named=False))
            logger.info("%s, inner split %d: base_lr %g", arm.row, split.number, rate)
    return chosen


def _with_rate(arm: Arm, rate: float, *, named: bool) -> Arm:
    short = f"{rate:g}"
    written = short if float(short) == rate else str(rate)
    name = f"{arm.name}, base_lr {written}" if named else arm.name
    return replace(arm, name=name, arguments=(*arm.arguments, _RATE, str(rate)))


def _fold(
    out: Path,
    clips: Sequence[GroupedClip],
    folds: Sequence[int],
    *,
    test: int,
    unused: int | None = None,
) -> Fold:
    """Write the lists of a fold; with an unused part, they are the inner split of that part."""
    number = test if unused is None else unused
    path = (out / "lists" / f"fold{number}.csv").absolute()
    write_split(path, clips, folds, test=test, unused=unused)
    named = [part for split in ("train", "val", "test") for part in (f"--data.{split}", str(path))]
    return Fold(number, ("--data.format", "csv", *named))


def _keep_folds(path: Path, clips: Sequence[GroupedClip], folds: Sequence[int]) -> None:
    """Write the folds to a file; refuse a folder that holds other folds."""
    lines = [
        [clip.path, clip.label, clip.group, str(fold)]
        for clip, fold in zip(clips, folds, strict=True)
    ]
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            if list(csv.reader(file))[1:] != lines:
                raise ValueError(f"{path} holds folds of different clips: choose another --out.")
        return
    write_csv(path, ["path", "label", "group", "fold"], lines)


def _pool(
    trials: Sequence[Trial], clips: Sequence[GroupedClip], seeds: Sequence[int], path: Path
) -> Right:
    """Collect the answers of all folds and write them to a file."""
    place = {clip.path: index for index, clip in enumerate(clips)}
    rows = dict.fromkeys(trial.arm.row for trial in trials)
    answers = {(row, seed): [""] * len(clips) for row in rows for seed in seeds}
    for trial in trials:
        of_trial = answers[trial.arm.row, trial.seed]
        for video, _label, best in read_predictions(trial.test_folder / "test"):
            of_trial[place[listed(video, place)]] = best[0].name
    write_answers(path, clips, answers)
    return correct(clips, answers)


def listed(video: str, known: Collection[str]) -> str:
    """Return the listed path that ends the given absolute path.

    Args:
        video: Path of a tested video.
        known: Paths of the clips; one of them, with or without ``./``, is the end of ``video``.

    Raises:
        ValueError: If none is.
    """
    parts = PurePosixPath(video).parts
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    found = next((path for tail in tails for path in (tail, f"./{tail}") if path in known), None)
    if found is None:
        raise ValueError(f"A run has tested {video}, which is none of the {len(known)} clips.")
    return found
