"""Predictions of all models of an experiment for each clip: one line per clip, in a CSV file.

Files of the same clips can be joined: an experiment can be run in parts, on several machines or
days, and be compared as a whole.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pks4_lightning.experiments.comparison import Right
from pks4_lightning.experiments.folds import GroupedClip, read_clips
from pks4_lightning.files import write_csv

__all__ = ["Answers", "correct", "join_answers", "read_answers", "write_answers"]

Answers = Mapping[tuple[str, int], Sequence[str]]
"""Maps a row of the table and a seed to the predicted class of each clip, or to an empty string for
a clip that could not be decoded."""

_SEED = ", seed "


def write_answers(path: Path, clips: Sequence[GroupedClip], answers: Answers) -> None:
    """Write predictions, with one line per clip and one column per row and seed.

    Args:
        path: The CSV file. Its first columns are ``path``, ``label`` and ``group``, and
            ``amplitude`` if the clips have one.
        clips: The tested clips.
        answers: Predictions in the order of the clips.
    """
    known = ["path", "label", "group"]
    known += ["amplitude"] if any(clip.amplitude for clip in clips) else []
    columns = [*zip(*([getattr(clip, name) for name in known] for clip in clips), strict=True)]
    columns += [tuple(each) for each in answers.values()]
    header = [*known, *(f"{row}{_SEED}{seed}" for row, seed in answers)]
    write_csv(path, header, zip(*columns, strict=True))


def read_answers(path: Path) -> tuple[list[GroupedClip], Answers]:
    """Read a file that :func:`write_answers` has written.

    Args:
        path: The file.

    Returns:
        The clips, and the predictions for them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file lists no clips, or has no predictions.
    """
    clips = read_clips(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(line for line in file if not line.startswith("#")))
    named = [(name, *name.rpartition(_SEED)) for name in lines[0]]
    answers = {
        (row, int(seed)): [line[name] for line in lines]
        for name, row, _, seed in named
        if row and seed.isdecimal()
    }
    if not answers:
        raise ValueError(f"{path} has no predictions: no column is named 'ROW{_SEED}NUMBER'.")
    return clips, answers


def join_answers(paths: Sequence[Path]) -> tuple[list[GroupedClip], Answers]:
    """Read several files with predictions for the same clips.

    Args:
        paths: One or more files that :func:`write_answers` has written.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a file lists other clips than the first, or two files have different
            predictions of the same row and seed.
    """
    clips, first = read_answers(paths[0])
    joined = dict(first)
    for path in paths[1:]:
        others, answers = read_answers(path)
        order = {clip: place for place, clip in enumerate(others)}
        if order.keys() != set(clips):
            raise ValueError(f"{path} lists other clips than {paths[0]}: join files of one task.")
        for (row, seed), predicted in answers.items():
            sorted_as_first = [predicted[order[clip]] for clip in clips]
            if joined.setdefault((row, seed), sorted_as_first) != sorted_as_first:
                raise ValueError(
                    f"{path} has other predictions of {row!r} with seed {seed} than a file before "
                    "it: leave one of them out."
                )
    return clips, joined


def correct(clips: Sequence[GroupedClip], answers: Answers, rows: Sequence[str] = ()) -> Right:
    """Find which predictions are correct, for the seeds that all rows have.

    Args:
        clips: The tested clips.
        answers: Predictions in the order of the clips.
        rows: The rows to compare, in this order. None: all.

    Raises:
        ValueError: If there is no such row, or no seed that all rows have.
    """
    rows = list(rows or dict.fromkeys(row for row, _ in answers))
    seeds_of = {row: {seed for name, seed in answers if name == row} for row in rows}
    for row, found in seeds_of.items():
        if not found:
            known = "; ".join(dict.fromkeys(name for name, _ in answers))
            raise ValueError(f"There are no predictions of {row!r}, only of: {known}.")
    seeds = sorted(set.intersection(*seeds_of.values()))
    if not seeds:
        raise ValueError(f"No seed is common to all of: {'; '.join(rows)}.")
    labels = np.array([clip.label for clip in clips])
    return {
        row: np.stack([np.array(answers[row, seed]) == labels for seed in seeds]) for row in rows
    }
