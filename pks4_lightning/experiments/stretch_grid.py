"""The grid of lengths and resolutions, and the file of its finished cells."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pks4_lightning.files import check_writable, write_csv, write_json

__all__ = [
    "Cell",
    "Grid",
    "Results",
    "best_within",
    "default_frames",
    "default_resolutions",
    "size_used",
]

_FRAMES = (1.0, 2.0, 4.0, 8.0, 1.5, 3.0, 6.0)
"""Multiples of the training's length: 8, 16, 32, 64 and, in between, 12, 24, 48."""
_RESOLUTIONS = (112, 160, 224, 288, 336)
_TRAINED_AT = 224


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One checkpoint at one scale."""

    checkpoint: str
    num_frames: int
    resolution: int
    """Requested frame size, in pixels."""
    frame_size: int
    """The nearest frame size that the model's patches cover."""
    gflops: float
    """Multiply-adds of one view in 1e9, including the attention's products."""
    top1: float
    """Accuracy on the scored videos."""
    top1_low: float
    """Lower end of its 95 % confidence interval."""
    top1_high: float
    num_videos: int
    clips_per_second: float
    """Clips that the model processes per second, without decoding."""


@dataclass(frozen=True)
class Grid:
    """The scales to evaluate: every length at every resolution."""

    frames: tuple[int, ...]
    resolutions: tuple[int, ...]

    @property
    def scales(self) -> list[tuple[int, int]]:
        """Frames and resolution of every cell, the cheapest first."""
        return sorted(
            ((frames, pixels) for frames in self.frames for pixels in self.resolutions),
            key=lambda scale: scale[0] * scale[1] ** 2,
        )


def default_frames(trained: int) -> tuple[int, ...]:
    """Return lengths around that of a training, up to eight times, at and between powers of two.

    Args:
        trained: Frames per clip in training.
    """
    return tuple(sorted({max(1, round(trained * factor)) for factor in _FRAMES}))


def default_resolutions(trained: int, *, unit: int) -> tuple[int, ...]:
    """Return resolutions from half to one and a half times that of a training.

    Args:
        trained: Frame size in training, in pixels.
        unit: Frame sizes must be a multiple of this.
    """
    sizes = (size_used(trained * size / _TRAINED_AT, unit=unit) for size in _RESOLUTIONS)
    return tuple(sorted(set(sizes)))


def size_used(resolution: float, *, unit: int) -> int:
    """Return the nearest frame size that patches cover.

    Args:
        resolution: Requested frame size, in pixels.
        unit: Rows of patches if the model fixes them, else the side of a patch.
    """
    return max(1, round(resolution / unit)) * unit


@dataclass
class Results:
    """Finished cells on disk: ``results.json`` and, for spreadsheets, ``results.csv``.

    Args:
        folder: Output folder.
        settings: Settings that all cells share; cells of other settings are refused.
        digests: SHA-256 of every checkpoint.
        cells: The finished cells.
    """

    folder: Path
    settings: list[str]
    digests: dict[str, str]
    cells: list[Cell]

    @classmethod
    def open(cls, folder: Path, *, settings: Sequence[str], digests: dict[str, str]) -> "Results":
        """Read the results of an earlier command with the same settings.

        Raises:
            OSError: If no results can be written there.
            ValueError: If the folder holds results of other settings or checkpoints, or its file
                is damaged.
        """
        check_writable(folder, what="results", option="--out")
        path = folder / "results.json"
        if not path.is_file():
            return cls(folder, list(settings), digests, [])
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            cells = [Cell(**cell) for cell in saved["cells"]]
            before, known = saved["settings"], saved["digests"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} does not hold results of `pks4 stretch`: {error}") from error
        changed = [name for name in digests if known.get(name, digests[name]) != digests[name]]
        if changed or before != list(settings):
            why = f"an earlier {changed[0]}" if changed else f"other settings ({before})"
            raise ValueError(f"{path} holds results of {why}; choose another --out.")
        return cls(folder, before, {**known, **digests}, cells)

    def find(self, checkpoint: str, num_frames: int, resolution: int) -> Cell | None:
        """Return a cell, if it is finished."""
        key = (checkpoint, num_frames, resolution)
        for cell in self.cells:
            if (cell.checkpoint, cell.num_frames, cell.resolution) == key:
                return cell
        return None

    def within(self, checkpoint: str, grid: Grid) -> list[Cell]:
        """Return the finished cells of a checkpoint that belong to a grid, in its order."""
        found = (self.find(checkpoint, *scale) for scale in grid.scales)
        return [cell for cell in found if cell is not None]

    def add(self, cell: Cell) -> None:
        """Store a finished cell, also on disk."""
        self.cells.append(cell)
        cells = [asdict(each) for each in self.cells]
        content = {"settings": self.settings, "digests": self.digests, "cells": cells}
        write_json(self.folder / "results.json", content)
        names = [field.name for field in fields(Cell)]
        write_csv(self.folder / "results.csv", names, ([cell[n] for n in names] for cell in cells))


def best_within(cells: Sequence[Cell], budget: float) -> Cell:
    """Return the most accurate cell within a budget; of equal ones, the cheapest.

    Args:
        cells: Cells of one checkpoint, at least one.
        budget: GFLOPs per view.

    Raises:
        ValueError: If all cells cost more.
    """
    affordable = [cell for cell in cells if cell.gflops <= budget]
    if not affordable:
        least = min(cells, key=lambda cell: cell.gflops)
        raise ValueError(
            f"No scale of the grid costs at most {budget:g} GFLOPs per view; the cheapest, "
            f"{least.num_frames} frames of {least.frame_size} pixels, costs {least.gflops:.4g}."
        )
    return max(affordable, key=lambda cell: (cell.top1, -cell.gflops))
