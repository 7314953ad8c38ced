"""Format costs as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from rich.table import Table

from pks4_lightning.cost.scaling import ScalingPoint
from pks4_lightning.paper.cells import Cell
from pks4_lightning.paper.counting import counts_of, kept_per_clip, peak_of
from pks4_lightning.paper.tables import Counting, Row
from pks4_lightning.tables import new_table

__all__ = ["cell_table", "counting_table", "method_table", "report_tables", "scaling_tables"]


def cell_table(cells: Sequence[Cell]) -> Table:
    """Show the paper's cells and ours side by side.

    Args:
        cells: The cells in the order to show.
    """
    table = _table("table", "row", "column", paper=1, ours=1, deviation=1)
    table.add_column("")
    for cell in cells:
        table.add_row(
            str(cell.table),
            cell.row,
            cell.column,
            f"{cell.paper:g}",
            f"{cell.ours:.4f}",
            f"{cell.deviation:+.2%}",
            cell.status,
        )
    return table


def counting_table(cells: Sequence[Cell]) -> Table:
    """Show every number of operations in every convention, and the convention it follows.

    Args:
        cells: The cells in the order to show; those without operations are omitted.
    """
    ways = get_args(Counting)
    table = _table("table", "row", "column", paper=1, **dict.fromkeys(ways, 1))
    table.add_column("the paper's counts")
    for cell in cells:
        if cell.counts is None:
            continue
        digits = 4 if cell.paper < 100 else 1  # EFLOPs, GFLOPs
        counts = (f"{cell.counts[way]:,.{digits}f}" if way in cell.counts else "" for way in ways)
        table.add_row(
            str(cell.table),
            cell.row,
            cell.column,
            f"{cell.paper:,g}",
            *counts,
            cell.follows if cell.status == "holds" else f"{cell.follows}, not derived",
        )
    return table


def method_table(rows: Sequence[Row], cells: Sequence[Cell]) -> Table:
    """Show the methods of a table side by side, all in the same convention.

    Args:
        rows: Rows of Table 1 with settings.
        cells: Cells of that table.
    """
    gflops = {cell.row: cell.counts for cell in cells if cell.column == "GFLOPs"}
    table = _table(
        "method",
        **{"trained parameters": 1, "GFLOPs without attention": 1, "with attention": 1},
        **{"GiB kept per clip": 1, "GiB of a step": 1, "memory (paper)": 1, "top-1 (paper)": 1},
    )
    for row in rows:
        counts = gflops[row.name]
        assert row.settings is not None
        assert counts is not None
        table.add_row(
            row.name,
            f"{counts_of(row.settings).trained:,}",
            f"{counts['without attention']:,.1f}",
            f"{counts['with attention']:,.1f}",
            f"{kept_per_clip(row.settings) / 2**30:.3f}",
            f"{peak_of(row.settings) / 2**30:.2f}",
            row.cells["training_memory"],
            row.cells["top1"],
        )
    return table


def report_tables(report: Mapping[str, Any]) -> Iterator[Table | str]:
    """Format the report of :func:`~pks4_lightning.cost.report.cost_report`.

    Args:
        report: The report.

    Yields:
        Tables and sentences.
    """
    yield _parts(report)
    yield _totals(report)
    yield _memory(report["memory"])
    if "measured" in report:
        yield _measured(report["measured"])
    yield (
        "A multiply-add counts as one operation. The paper's convention omits the attention's two "
        "products out.\nMemory: counted on tensors without content; measured on a GPU with "
        "--measure."
    )


def scaling_tables(
    lengths: Sequence[ScalingPoint], sizes: Sequence[ScalingPoint], equal: float
) -> Iterator[Table | str]:
    """Show how cost grows.

    Args:
        lengths: Points over clip length.
        sizes: Points over frame size.
        equal: Number of frames above which attention along time costs more than the scanner.

    Yields:
        Tables and sentences.
    """
    for name, points in (("frames", lengths), ("pixels", sizes)):
        table = _table(
            **{name: 1, "GFLOPs": 1, "vision tower": 1, "attention in frames": 1},
            **{"prior encoder": 1, "KS4 scanner": 1, "time attention": 1},
        )
        for point in points:
            place = point.num_frames if name == "frames" else point.frame_size
            shown = (
                point.total,
                point.tower,
                point.tower_attention,
                point.priors,
                point.scanner,
                point.attention_along_time,
            )
            table.add_row(str(place), *(f"{count / 1e9:,.2f}" for count in shown))
        yield table
    yield (
        "Time attention: self-attention along time at every patch location, instead of the "
        "scanner.\nAll costs are linear in the length, and in the number of patches except for "
        "attention in frames, which is quadratic.\nTime attention takes fewer operations than the "
        f"scanner below {equal:,.0f} frames, and more above."
    )


def _parts(report: Mapping[str, Any]) -> Table:
    table = _table("part", **{"parameters": 1, "GFLOPs per view": 1, "with attention": 1})
    for part, number in report["parameters"]["by_part"].items():
        flops = report["flops"]["by_part"][part]
        table.add_row(part, f"{number:,}", *_giga(flops))
    table.add_section()
    total = report["parameters"]
    table.add_row("all", f"{total['total']:,}", *_giga(report["flops"]["per_view"]))
    if total["trainable"] != total["total"]:
        table.add_row("trainable", f"{total['trainable']:,}", "", "")
    return table


def _totals(report: Mapping[str, Any]) -> Table:
    flops, training = report["flops"], report.get("training_eflops")
    table = _table("", **{"paper's convention": 1, "with attention": 1})
    table.add_row(f"GFLOPs per video, {flops['views']} views", *_giga(flops["per_video"]))
    if training is not None:
        table.add_row(
            f"EFLOPs of {training['num_epochs']} epochs, {training['num_videos']:,} videos",
            f"{training['paper']:.4f}",
            f"{training['all_matmuls']:.4f}",
        )
    return table


def _memory(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        f"gradient checkpointing ({rows[0]['precision']})",
        **{"GiB saved per clip": 1, f"peak GiB of a step of {rows[0]['clips_per_step']} clips": 1},
    )
    for row in rows:
        table.add_row(
            "on" if row["gradient_checkpointing"] else "off",
            *(f"{row[key] / 2**30:.3f}" for key in ("saved_per_clip", "peak_of_step")),
        )
    return table


def _measured(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(
        "gradient checkpointing, measured",
        **{"clips/s forward": 1, "clips/s training": 1, "peak GiB": 1},
    )
    for row in rows:
        peak = "no GPU" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.3f}"
        speeds = (f"{row[key]:.2f}" for key in ("forward", "training"))
        table.add_row("on" if row["gradient_checkpointing"] else "off", *speeds, peak)
    return table


def _giga(flops: Mapping[str, int]) -> list[str]:
    return [f"{flops[name] / 1e9:,.4f}" for name in ("paper", "all_matmuls")]


def _table(*words: str, **numbers: int) -> Table:
    """Create a table with text columns, then number columns."""
    table = new_table()
    for title in words:
        table.add_column(title, overflow="fold")
    for title in numbers:
        table.add_column(title, justify="right")
    return table
