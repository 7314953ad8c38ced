"""Tables and figures of an evaluation: accuracy with intervals, differences, and by amplitude."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from pks4_lightning.experiments.comparison import Right, compare, comparison_table
from pks4_lightning.experiments.evidence.amplitudes import amplitude_table, by_amplitude
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.pictures.intervals import Bar, interval_curves, interval_figure
from pks4_lightning.pictures.style import save_figure

__all__ = ["Report", "report", "report_tables", "save_figures"]


@dataclass(frozen=True)
class Report:
    """What an evaluation has found."""

    tables: list[Table]
    """For a terminal."""
    rows: dict[str, list[dict[str, Any]]]
    """The rows of each comparison by its title, representable in JSON."""
    figures: dict[str, Figure]
    """By name."""


def report_tables(
    rows: Mapping[int, Right], clips: Sequence[GroupedClip], *, title: str, chance: float
) -> Report:
    """Tabulate and draw the rows of several tables of the paper, each by itself.

    Args:
        rows: Rows as for :func:`report`, by the number of the paper's table; 0 for others. The
            number is added to titles and names.
        clips: As for :func:`report`.
        title: As for :func:`report`.
        chance: As for :func:`report`.
    """
    whole = Report([], {}, {})
    for number, right in rows.items():
        of_table = f"{title}, Table {number}" if number else title
        part = report(right, clips, title=of_table, chance=chance)
        whole.tables.extend(part.tables)
        whole.rows.update(part.rows)
        for name, figure in part.figures.items():
            whole.figures[f"{name}_table_{number}" if number else name] = figure
    return whole


def report(right: Right, clips: Sequence[GroupedClip], *, title: str, chance: float) -> Report:
    """Tabulate and draw the accuracies of one comparison.

    Args:
        right: Which predictions of each row's runs are correct; the other rows are compared with
            the first.
        clips: The tested clips. If they have amplitudes, the rows are also compared for each.
        title: Title of the tables and figures.
        chance: Accuracy of a guess.

    Returns:
        The report, with the figures ``comparison`` and, for clips with amplitudes, ``amplitudes``.
    """
    has_amplitudes = all(clip.amplitude for clip in clips)
    groups = [clip.group for clip in clips] if has_amplitudes else None
    rows = compare(right, groups)
    found = Report(
        [comparison_table(rows, title=title)],
        {title: rows},
        {"comparison": interval_figure(_bars(rows), title=title, chance=chance)},
    )
    if has_amplitudes:
        amplitudes = by_amplitude(right, clips)
        found.tables.append(amplitude_table(amplitudes))
        found.rows.update({f"{title}, {px} px": each for px, each in amplitudes.items()})
        found.figures["amplitudes"] = _curves(amplitudes, title=title, chance=chance)
    return found


def save_figures(figures: Mapping[str, Figure], out: Path) -> None:
    """Write figures to a folder.

    Args:
        figures: Figures by name.
        out: The folder; a file is ``NAME.png``.
    """
    for name, figure in figures.items():
        save_figure(figure, out / f"{name}.png")


def _bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    return [Bar(row["row"], row["top1"], row["top1_low"], row["top1_high"]) for row in rows]


def _curves(
    amplitudes: Mapping[int, Sequence[Mapping[str, Any]]], *, title: str, chance: float
) -> Figure:
    """Draw accuracy over amplitude, with a curve for each row."""
    by_row = zip(*(_bars(rows) for rows in amplitudes.values()), strict=True)
    return interval_curves(
        {bars[0].name: bars for bars in by_row},
        at=list(amplitudes),
        title=title,
        quantity="motion of the named objects relative to the background (pixels of 96)",
        levels={"chance": chance, "guess between two classes": 2 * chance},
    )
