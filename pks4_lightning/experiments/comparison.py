"""Compare models on the same clips and seeds, with intervals that account for both.

A model is trained with every seed and predicts every clip. Predictions are correlated within a clip
and within a seed, so neither all predictions nor the clips alone are the sample. With
X[s, c] = mean + seed[s] + clip[c] + rest[s, c], the variance of the mean is
var(seed) / S + var(clip) / C + var(rest) / (S C). The two mean squares, between clips and between
seeds, sum to that with var(rest) counted twice: the interval is slightly too wide if seeds make no
difference, and not too narrow if they do.

Reference:
    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
    Bulletin 2 (1946), for the degrees of freedom of a sum of mean squares.

Dimensions:
    S: seeds
    C: clips
    G: groups of clips
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from rich.table import Table

from pks4_lightning.tables import new_table

__all__ = [
    "Estimate",
    "Right",
    "compare",
    "comparison_table",
    "estimate",
    "student_t_quantile",
]

_ROUNDING = 1e-20
"""Mean squares below this are no variation: one other answer among a million clips is more."""

_LEVEL = 0.95
"""Share of the intervals that contain the true mean."""

Right = Mapping[str, Bool[np.ndarray, "S C"]]
"""Maps each row of a table to whether the models of each seed are correct for each clip."""


class Estimate(NamedTuple):
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float


def estimate(values: Float[np.ndarray, "S C"]) -> Estimate:
    """Estimate a mean over clips and seeds, treating both as samples of a population.

    Args:
        values: Result of each training for each clip: 1 if correct and 0 otherwise; for the
            difference of two models, paired by seed and clip, -1, 0 or 1.

    Returns:
        The mean and its 95 % interval. With one seed, the interval accounts for the clips only.

    Raises:
        ValueError: If there are fewer than two clips, or no seed.
    """
    num_seeds, num_clips = values.shape
    if num_clips < 2 or num_seeds < 1:
        raise ValueError(f"{num_seeds} seeds and {num_clips} clips are too few for an interval.")
    mean = float(values.mean())
    squares = [(num_seeds * float(values.mean(axis=0).var(ddof=1)), num_clips - 1)]
    if num_seeds > 1:
        squares.append((num_clips * float(values.mean(axis=1).var(ddof=1)), num_seeds - 1))
    total = sum(square for square, _ in squares)
    if total < _ROUNDING:  # no variation: the rule of three, for events too rare to be observed
        half = -math.log(1.0 - _LEVEL) / num_clips
        return Estimate(mean, mean - half, mean + half)
    freedom = total**2 / sum(square**2 / degrees for square, degrees in squares)
    half = student_t_quantile(0.5 + _LEVEL / 2.0, freedom) * math.sqrt(total / values.size)
    return Estimate(mean, mean - half, mean + half)


def compare(right: Right, groups: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Estimate every row's accuracy, and its difference from the first row's.

    Args:
        right: The other rows are compared with the first one. A row of one training among rows of
            several is paired with each of them.
        groups: Group of each clip: clips of one group, such as two directions of one scene, count
            as one observation. ``None``: every clip is one.

    Returns:
        One dictionary per row: ``row``, ``seeds``, ``clips``, ``top1`` and, except for the first,
        ``difference``, paired by clip and seed; each with the ends of its 95 % interval over clips
        and seeds under ``_low`` and ``_high``.
    """
    reference = next(iter(right.values())).astype(float)
    rows: list[dict[str, Any]] = []
    for name, answers in right.items():
        row: dict[str, Any] = {"row": name, "seeds": len(answers), "clips": answers.shape[1]}
        values = {"top1": answers.astype(float)}
        if rows:
            values["difference"] = answers - reference
        for measure, matrix in values.items():
            found = estimate(matrix if groups is None else _by_group(matrix, groups))
            if measure == "top1":  # Student's t has no bounds
                found = Estimate(found.mean, max(found.low, 0.0), min(found.high, 1.0))
            row |= {measure: found.mean, f"{measure}_low": found.low, f"{measure}_high": found.high}
        rows.append(row)
    return rows


def _by_group(values: Float[np.ndarray, "S C"], groups: Sequence[str]) -> Float[np.ndarray, "S G"]:
    """Sum the deviations of each group from the mean, scaled to keep the mean over clips.

    This linearises the ratio of two sums over groups, of correct clips and of clips. Without the
    deviations, different sizes of the groups would count as variation.
    """
    names, group_of = np.unique(np.array(groups), return_inverse=True)
    is_of = np.eye(len(names))[group_of]
    mean = values.mean()
    deviations: np.ndarray = values @ is_of - mean * is_of.sum(axis=0)
    return deviations * len(names) / values.shape[1] + mean


def comparison_table(rows: Sequence[Mapping[str, Any]], *, title: str) -> Table:
    """Format a comparison for a terminal.

    Args:
        rows: From :func:`compare`.
        title: Title of the table.
    """
    first = rows[0]
    seeds = f"{first['seeds']} seed{'s' * (first['seeds'] > 1)}"
    table = new_table(
        f"{title}: {first['clips']} held-out clips, {seeds}",
        caption=f"top-1 in %, and difference from {first['row']}, paired by clip and seed; 95 % "
        "intervals over clips and seeds",
    )
    table.add_column("row", overflow="fold")
    for heading in ("top-1", "interval", "difference", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        accuracy = _shown(row, "top1", ".1f")
        table.add_row(row["row"], *accuracy, *_shown(row, "difference", "+.1f"))
    return table


def student_t_quantile(share: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution.

    Args:
        share: Between 0.5 and 1.
        freedom: Degrees of freedom, 1 or more; rounded down, which widens an interval.
    """
    low, high = 0.0, 1e6
    while high - low > 1e-9 * max(1.0, low):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _t_below(middle, int(freedom)) < share else (low, middle)
    return high


def _t_below(t: float, freedom: int) -> float:
    """Distribution function for integer degrees of freedom (Abramowitz and Stegun, 26.7.3-4)."""
    theta = math.atan2(t, math.sqrt(freedom))
    cos_squared = math.cos(theta) ** 2
    is_odd = freedom % 2
    term = math.cos(theta) if is_odd else 1.0
    total = 0.0
    for k in range(1 + is_odd, freedom, 2):
        total += term
        term *= cos_squared * k / (k + 1)
    between = math.sin(theta) * total
    if is_odd:
        between = 2.0 / math.pi * (theta + between)
    return 0.5 + between / 2.0


def _shown(row: Mapping[str, Any], measure: str, form: str) -> tuple[str, str]:
    if measure not in row:
        return "–", ""
    mean, low, high = (100.0 * row[measure + end] for end in ("", "_low", "_high"))
    return f"{mean:{form}}", f"{low:{form}} … {high:{form}}"
