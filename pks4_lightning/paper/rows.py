"""The rows of the paper's ablation tables, as arguments of ``pks4 fit``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.paper.tables import NUM_TABLES, Row, read_table

__all__ = ["OVERRIDES", "TABLES", "PlannedRow", "find_overrides", "plan_rows"]

OVERRIDES: dict[int, tuple[str, ...]] = {
    5: ("baseline", "ks4", "ks4_variation", "full"),
    6: tuple(f"insert_after_{block}" for block in range(5, 12)),
    7: ("full", "bidirectional"),
    8: tuple(f"context_frames_{number}" for number in (0, 2, 4, 6)),
    9: ("class_route_none", "class_route_tsm", "class_route_token_t1d", "class_route_token_shift"),
}
"""Table to its rows' files in ``configs/ablations``, in the paper's order."""
TABLES = tuple(OVERRIDES)
_PAPERS_BLOCKS = 12
_FRAME_AVERAGING = "Frame averaging, no class-token route"
_FOLDER = Path("configs", "ablations")


@dataclass(frozen=True)
class PlannedRow:
    """One row of a table."""

    table: int
    name: str
    """As the paper has it; for Table 6 on a tower of another depth ``2 of 4``."""
    arguments: tuple[str, ...]
    """What it adds to the arguments of a training."""
    paper: Row | None
    """What the paper prints; ``None`` for a row that it does not have."""


def find_overrides() -> Path:
    """Find the rows' files: below the current folder, or in the source tree.

    Raises:
        FileNotFoundError: If the package was installed without its source tree.
    """
    for home in (Path(), Path(__file__).parents[2]):
        if (home / _FOLDER / "full.yaml").is_file():
            return home / _FOLDER
    raise FileNotFoundError(
        f"{_FOLDER} is not in {Path.cwd()}; run `pks4 ablate` in the project's source tree."
    )


def plan_rows(tables: Sequence[int], *, num_blocks: int, folder: Path) -> list[PlannedRow]:
    """List the rows of tables.

    Table 5 has one row more than in the paper: frame averaging without the class-token route,
    which is what the paper's text calls its baseline. Table 6 stands for a tower of 12 blocks. A
    deeper tower is cut at the same depths; a shallower one after every block but its last, for
    the paper's seven places fall together there.

    Args:
        tables: Numbers out of :data:`TABLES`, each once.
        num_blocks: Depth of the backbone.
        folder: Of the rows' files.

    Raises:
        ValueError: If there is no such table, or it is no ablation.
    """
    rows: list[PlannedRow] = []
    for number in dict.fromkeys(tables):
        papers = read_table(number).rows
        if number not in OVERRIDES:
            raise ValueError(
                f"Table {number} is no ablation; the paper's ablations are Tables "
                f"{TABLES[0]} to {NUM_TABLES}."
            )
        if number == 5:
            arguments = ("--config", str(folder / "frame_averaging.yaml"))
            rows.append(PlannedRow(5, _FRAME_AVERAGING, arguments, paper=None))
        if number == 6 and num_blocks != _PAPERS_BLOCKS:
            rows += _depths(papers, num_blocks)
            continue
        for paper, name in zip(papers, OVERRIDES[number], strict=True):
            arguments = ("--config", str(folder / f"{name}.yaml"))
            rows.append(PlannedRow(number, paper.name, arguments, paper))
    return rows


def _depths(papers: Sequence[Row], num_blocks: int) -> list[PlannedRow]:
    """Cut a tower of another depth, the paper's row beside it where the depth is the same."""
    by_depth = {int(row.name) / _PAPERS_BLOCKS: row for row in papers}
    places = [block for block in range(1, num_blocks) if block / num_blocks in by_depth]
    if num_blocks < _PAPERS_BLOCKS:
        places = list(range(1, num_blocks))
    return [
        PlannedRow(
            6,
            f"{block} of {num_blocks}",
            ("--model.classifier.insert_after", str(block), "--data.num_clips", "1"),
            by_depth.get(block / num_blocks),
        )
        for block in places
    ]
