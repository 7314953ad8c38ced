"""Accuracy by the distance that the named object moves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from pks4_lightning.experiments.comparison import Right, compare
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.tables import new_table

__all__ = ["amplitude_table", "by_amplitude"]


def by_amplitude(right: Right, clips: Sequence[GroupedClip]) -> dict[int, list[dict[str, Any]]]:
    """Compare the rows on the clips of each amplitude.

    Args:
        right: Which answers of each row's runs are correct.
        clips: One for each answer, in the same order, each with its amplitude.

    Returns:
        The result of :func:`~pks4_lightning.experiments.comparison.compare` for each amplitude in
        pixels, in ascending order; the clips of a group are one observation.
    """
    amplitudes = np.array([int(clip.amplitude) for clip in clips])
    groups = np.array([clip.group for clip in clips])
    rows = {}
    for amplitude in np.unique(amplitudes):
        chosen = amplitudes == amplitude
        some = {row: answers[:, chosen] for row, answers in right.items()}
        rows[int(amplitude)] = compare(some, groups[chosen].tolist())
    return rows


def amplitude_table(rows: Mapping[int, Sequence[Mapping[str, Any]]]) -> Table:
    """Return a table of accuracies for a terminal, with a column for each amplitude.

    Args:
        rows: The result of :func:`by_amplitude`.
    """
    table = new_table("top-1 in % by amplitude in pixels, with 95 % intervals")
    table.add_column("row", overflow="fold")
    for amplitude in rows:
        table.add_column(f"{amplitude} px", justify="right", no_wrap=True)
    for same_row in zip(*rows.values(), strict=True):
        cells = [[100.0 * each[f"top1{end}"] for end in ("", "_low", "_high")] for each in same_row]
        table.add_row(
            same_row[0]["row"],
            *(f"{mean:.0f} ({low:.0f} … {high:.0f})" for mean, low, high in cells),
        )
    return table
