"""Grouped folds: clips that were filmed together are held out together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pks4_lightning.data.annotations.formats.tables import path_and_label_columns, read_rows
from pks4_lightning.files import write_csv
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["GroupedClip", "grouped_folds", "read_clips", "write_split"]

_COLUMNS = ("path", "label", "group")
_OPTIONAL = ("split", "amplitude")


@dataclass(frozen=True)
class GroupedClip:
    """A video with its class and the group of videos that it was filmed with."""

    path: str
    label: str
    group: str
    """Name of a scene, person or recording, which must not be in both training and test."""
    split: str = ""
    """The split that the table gives the clip, or an empty string."""
    amplitude: str = ""
    """The distance in pixels that an object moves, if the table has it."""


def read_clips(source: Path) -> list[GroupedClip]:
    """Read a table of clips and their groups.

    Args:
        source: A table as ``pks4 fit`` reads it with ``data.format csv``, with a column ``group``,
            optionally ``split`` and ``amplitude``, and any others.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8 text, lists no clips, a column or a value is missing, a row
            has more values than columns, or a clip is listed twice.
    """
    if not source.is_file():
        raise FileNotFoundError(f"There is no table of clips {source}{did_you_mean_path(source)}")
    columns, rows = read_rows(source)
    named = (*path_and_label_columns(columns), "group" if "group" in columns else "")
    missing = [name for name, column in zip(_COLUMNS, named, strict=True) if not column]
    if missing:
        raise ValueError(
            f"{source} has no column {', '.join(missing)}; clips are grouped by a table with "
            "the columns path, label and group."
        )
    if not rows:
        raise ValueError(f"{source} lists no clips; check that it is the right file.")
    clips = []
    for number, values in rows:
        if len(values) > len(columns):
            raise ValueError(
                f"{source} has {len(values)} values at line {number} and {len(columns)} columns."
            )
        # a row may end early, before optional columns
        line = dict(zip(columns, (value.strip() for value in values), strict=False))
        if not all(line.get(column) for column in named):
            raise ValueError(f"{source} lacks a value at line {number}.")
        others = {name: line.get(name, "") for name in _OPTIONAL}
        clips.append(GroupedClip(*(line[column] for column in named), **others))
    twice = [path for path, count in Counter(clip.path for clip in clips).items() if count > 1]
    if twice:
        raise ValueError(f"{source} lists {twice[0]} twice.")
    return clips


def grouped_folds(clips: Sequence[GroupedClip], num_folds: int) -> list[int]:
    """Divide clips into folds by whole groups, with classes as balanced as the groups allow.

    The largest group is placed first; each group goes to the fold that leaves the classes most
    balanced. Nothing is random: the folds depend neither on a seed nor on the order of the list.

    Args:
        clips: All clips.
        num_folds: 2 or more.

    Returns:
        The fold of every clip, counted from 1.

    Raises:
        ValueError: If there are fewer groups than folds, or a fold would lack a class.
    """
    if num_folds < 2:
        raise ValueError(f"folds ({num_folds}) must be at least 2, because one is held out.")
    labels = sorted({clip.label for clip in clips})
    groups = sorted({clip.group for clip in clips})
    if len(groups) < num_folds:
        raise ValueError(
            f"{len(groups)} groups are too few for {num_folds} folds: ask for at most "
            f"{len(groups)}, or group the clips more finely."
        )
    # counts[g, c]: clips of class c in group g
    counts = np.zeros((len(groups), len(labels)))
    for clip in clips:
        counts[groups.index(clip.group), labels.index(clip.label)] += 1
    order = sorted(range(len(groups)), key=lambda group: (-counts[group].sum(), groups[group]))
    held = np.zeros((num_folds, len(labels)))
    fold_of: dict[str, int] = {}
    for group in order:
        spread = [_spread(held, counts[group], fold) for fold in range(num_folds)]
        best = min(range(num_folds), key=lambda fold: (spread[fold], held[fold].sum(), fold))
        held[best] += counts[group]
        fold_of[groups[group]] = best + 1
    for fold, label in np.argwhere(held == 0):
        raise ValueError(
            f"Fold {fold + 1} of {num_folds} would have no clip of the class {labels[label]!r}, "
            f"whose {int(counts[:, label].sum())} clips come from "
            f"{np.count_nonzero(counts[:, label])} groups: ask for fewer folds."
        )
    return [fold_of[clip.group] for clip in clips]


def write_split(
    path: Path,
    clips: Sequence[GroupedClip],
    folds: Sequence[int],
    *,
    test: int,
    unused: int | None = None,
) -> None:
    """Write a table that `pks4 fit` and `pks4 test` read with ``data.format csv``.

    Args:
        path: The table to write.
        clips: All clips.
        folds: The fold of each clip.
        test: The fold that is held out; all others are training clips.
        unused: A fold that is left out.
    """
    lines = [
        [clip.path, clip.label, "test" if fold == test else "train"]
        for clip, fold in zip(clips, folds, strict=True)
        if fold != unused
    ]
    write_csv(path, ["path", "label", "split"], lines)


def _spread(held: np.ndarray, group: np.ndarray, fold: int) -> float:
    """Return how unevenly the classes would be divided if a group joined a fold."""
    after = held.copy()
    after[fold] += group
    return float((after / np.maximum(after.sum(axis=0), 1)).var(axis=0).sum())
