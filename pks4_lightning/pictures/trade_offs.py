"""Draw accuracy against cost, and along the choices of the ablations: the paper's and ours."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pks4_lightning.paper.tables import printed_number, read_table
from pks4_lightning.pictures.point_names import name_points
from pks4_lightning.pictures.style import COLOURS, MARKERS, new_figure, plain_axes, written
from pks4_lightning.suggestions import did_you_mean_path

__all__ = [
    "Point",
    "Sweep",
    "paper_points",
    "paper_sweep",
    "read_costs",
    "sweep_figure",
    "trade_off_figure",
]

_WIDE = 20


@dataclass(frozen=True)
class Point:
    """The cost and the accuracy of one model."""

    name: str
    cost: float
    top1: float
    """In %."""
    kind: str
    """Kind of the point; points of a kind share colour, marker and legend entry."""


@dataclass(frozen=True)
class Sweep:
    """Accuracies as a function of one choice."""

    choices: Sequence[str]
    top1: Sequence[Sequence[float]]
    """Accuracies in %, by choice, one per seed. A choice without any leaves a gap."""


def paper_points(
    table: int, cost: str, *, computed: Mapping[str, float] | None = None
) -> list[Point]:
    """Return the models of a table of the paper that have both a cost and an accuracy.

    Args:
        table: Number of the table.
        cost: Key of the column with the cost.
        computed: Costs computed here, by row; each gives a separate point, at the accuracy printed
            in the paper.

    Raises:
        ValueError: If the paper has no such table.
    """
    points = []
    for row in read_table(table).rows:
        printed, top1 = printed_number(row.cells[cost]), printed_number(row.cells["top1"])
        if printed is None or top1 is None:
            continue
        is_ours = row.settings is not None and not row.is_peer
        kind = "PKS⁴, the paper's cost" if is_ours else "other methods, the paper's cost"
        points.append(Point(row.name, printed, top1, kind))
        if computed and row.name in computed:
            kind = "PKS⁴, cost computed here" if is_ours else "other methods, cost computed here"
            points.append(Point(row.name, computed[row.name], top1, kind))
    return points


def paper_sweep(table: int) -> Sweep:
    """Return the accuracies of an ablation table.

    Args:
        table: Number of the table.

    Raises:
        ValueError: If the paper has no such table.
    """
    rows = read_table(table).rows
    printed = [printed_number(row.cells["top1"]) for row in rows]
    return Sweep([row.name for row in rows], [[] if top1 is None else [top1] for top1 in printed])


def read_costs(path: Path, *, table: int, column: str) -> dict[str, float]:
    """Read costs that were computed here, by row of a table.

    Args:
        path: A file written by ``benchmarks/cost.py --json`` or ``pks4 cost --paper --json``.
        table: Number of the table.
        column: Title of the column.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no costs {path}"
            + did_you_mean_path(path, "`pks4 cost --paper --json` prints them")
        )
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        cells = read if isinstance(read, list) else read["rows"]["cells"]
        return {
            cell["row"]: cell["ours"]
            for cell in cells
            if cell["table"] == table and cell["column"] == column
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold the paper's cells with table, row, column and ours ({error})."
        ) from error


def trade_off_figure(panels: Mapping[str, Sequence[Point]], *, named: bool = False) -> Figure:
    """Draw accuracy against cost, with one panel per cost (the paper's Figure 2).

    Args:
        panels: By name of the cost, including its unit.
        named: Write the name of every point beside it.

    Returns:
        The figure; costs that span more than a factor of 20 have a logarithmic axis.

    Raises:
        ValueError: If there is no panel.
    """
    if not panels:
        raise ValueError("A picture of trade-offs needs at least one panel, got none.")
    figure = new_figure(4.2 * len(panels), 4.2)
    kinds = list(dict.fromkeys(point.kind for points in panels.values() for point in points))
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, points) in zip(all_axes, panels.items(), strict=True):
        for style, kind in enumerate(kinds):
            shown = [point for point in points if point.kind == kind]
            axes.scatter(
                [point.cost for point in shown],
                [point.top1 for point in shown],
                facecolors="none",  # overlapping points remain visible
                edgecolors=COLOURS[style],
                marker=MARKERS[style],
                s=36,
                label=written(kind),
            )
        costs = [point.cost for point in points]
        if costs and max(costs) > _WIDE * min(costs):
            axes.set_xscale("log")
        elif costs:
            axes.set_xlim(0.0, 1.08 * max(costs))
        axes.set_xlabel(written(name))
        axes.set_ylabel("top-1 (%)")
        plain_axes(axes)
    handles, names = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    if named:
        for axes, points in zip(all_axes, panels.values(), strict=True):
            _leave_room_for_names(axes)
            name_points(axes, [(point.cost, point.top1, point.name) for point in points])
    return figure


def _leave_room_for_names(axes: Axes) -> None:
    axes.margins(y=0.25)
    limits = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if limits[0] <= tick <= 100])
    axes.set_ylim(limits)


def sweep_figure(sweeps: Mapping[str, tuple[Sweep, Sweep]]) -> Figure:
    """Draw accuracies along some choices: the paper's above, ours below, on separate scales.

    Args:
        sweeps: By name of the choice, the paper's and ours.

    Returns:
        The figure, with one marker per seed and a line through the means.

    Raises:
        ValueError: If there is no sweep.
    """
    if not sweeps:
        raise ValueError("A picture of ablations needs at least one of them, got none.")
    figure = new_figure(3.4 * len(sweeps), 5.4)
    grid = figure.subplots(2, len(sweeps), squeeze=False)
    for column, (name, pair) in enumerate(sweeps.items()):
        for style, (whose, sweep) in enumerate(zip(("paper", "ours"), pair, strict=True)):
            axes = grid[style, column]
            _draw_sweep(axes, sweep, style)
            axes.set_title(written(f"{name}, {whose}"), loc="left", fontsize=10)
            axes.set_ylabel("top-1 (%)")
    return figure


def _draw_sweep(axes: Axes, sweep: Sweep, style: int) -> None:
    places = range(len(sweep.choices))
    known = [place for place in places if sweep.top1[place]]
    axes.plot(known, [mean(sweep.top1[place]) for place in known], color=COLOURS[style], lw=1.4)
    axes.scatter(
        [place for place in known for _ in sweep.top1[place]],
        [top1 for place in known for top1 in sweep.top1[place]],
        color=COLOURS[style],
        marker=MARKERS[style],
        s=24,
    )
    axes.set_xticks(places, [written(choice) for choice in sweep.choices], fontsize=8)
    for tick in axes.get_xticklabels():
        if len(tick.get_text()) > 3:
            tick.set(rotation=25, ha="right")
    if not known:
        axes.text(0.5, 0.5, "no results", transform=axes.transAxes, ha="center")
        axes.set_yticks([])
    plain_axes(axes)
