"""Tables and figures of an evaluation: accuracy with intervals, differences, and by amplitude."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pks4_lightning.experiments.comparison import Right, compare, comparison_table
from pks4_lightning.experiments.evidence.amplitudes import amplitude_table, by_amplitude
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.pictures.intervals import Bar, interval_curves, interval_figure
from pks4_lightning.pictures.style import save_figure
from pks4_lightning.tables import print_tables

__all__ = ["Report", "report", "report_tables", "save_figures"]

Report = tuple[dict[str, list[dict[str, Any]]], dict[str, Figure]]
"""The rows of each table by its title, and figures by name."""


def report_tables(
    rows: Mapping[int, Right], clips: Sequence[GroupedClip], *, title: str, chance: float
) -> Report:
    """Print and draw the rows of several tables of the paper, each by itself.

    Args:
        rows: Rows as for :func:`report`, by the number of the paper's table; 0 for others. The
            number is added to titles and names.
        clips: As for :func:`report`.
        title: As for :func:`report`.
        chance: As for :func:`report`.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    figures: dict[str, Figure] = {}
    for number, right in rows.items():
        of_table = f"{title}, Table {number}" if number else title
        found, drawn = report(right, clips, title=of_table, chance=chance)
        tables |= found
        figures |= {f"{name}_table_{number}" if number else name: drawn[name] for name in drawn}
    return tables, figures


def report(right: Right, clips: Sequence[GroupedClip], *, title: str, chance: float) -> Report:
    """Print the tables and draw the figures.

    Args:
        right: Which predictions of each row's runs are correct; the other rows are compared with
            the first.
        clips: The tested clips. If they have amplitudes, the rows are also compared for each.
        title: Title of the tables and figures.
        chance: Accuracy of a guess.

    Returns:
        The tables, and the figures ``comparison`` and, for clips with amplitudes, ``amplitudes``.
    """
    has_amplitudes = all(clip.amplitude for clip in clips)
    groups = [clip.group for clip in clips] if has_amplitudes else None
    rows = compare(right, groups)
    tables: dict[str, list[dict[str, Any]]] = {title: rows}
    figures = {"comparison": interval_figure(_bars(rows), title=title, chance=chance)}
    print_tables(comparison_table(rows, title=title))
    if has_amplitudes:
        amplitudes = by_amplitude(right, clips)
        tables |= {f"{title}, {amplitude} px": each for amplitude, each in amplitudes.items()}
        print_tables(amplitude_table(amplitudes))
        figures["amplitudes"] = _curves(amplitudes, title=title, chance=chance)
    return tables, figures


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
        quantity="motion of the named object relative to the background (pixels of 96)",
        levels={"chance": chance, "axis known, direction guessed": 2 * chance},
    )
