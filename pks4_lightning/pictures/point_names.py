"""Place names beside the points of a figure without overlaps."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from pks4_lightning.pictures.style import written

__all__ = ["name_points"]

_DISTANCES = (5, 12, 20, 30, 42, 56, 72, 90)
"""Distance from a point to the edge of its name, in points; the first needs no line."""
_DIRECTIONS = (0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 3, 13, 5, 11, 7, 9)
"""Directions in sixteenths of a turn, from the right, in order of preference."""
_MARK = 4.0
"""Half the side of a mark, in points."""


def name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a name beside every point, as near as there is room.

    If there is no room nearby, the name is placed further away, with a line to its point. Call it
    when the figure is otherwise finished: later changes of scale would move points under names.

    Args:
        axes: The axes of the points.
        points: Position of each in data units, and its name.
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # fixes the layout, and with it the positions of points
    pixels = figure.dpi / 72
    places = [_pixels(axes, x, y) for x, y, _ in points]
    marks = [_box(place, (2 * _MARK * pixels,) * 2) for place in places]
    names: list[_Name] = []
    for place, (x, y, text) in zip(places, points, strict=True):
        note = axes.annotate(
            written(text),
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "0.5", "lw": 0.6, "shrinkA": 1, "shrinkB": 4},
        )
        note.set_in_layout(False)
        size = Text.get_window_extent(note).size  # of the text, without its line
        best = _best(
            _around(place, (size[0], size[1]), pixels),
            lambda name: _conflicts(name, axes.bbox, marks, names),
        )
        names.append(best)
        note.set_position(
            ((best.centre[0] - place[0]) / pixels, (best.centre[1] - place[1]) / pixels)
        )
        assert note.arrow_patch is not None
        note.arrow_patch.set_visible(not best.is_near)


@dataclass(frozen=True)
class _Name:
    """A position of a name, in pixels."""

    point: tuple[float, float]
    centre: tuple[float, float]
    box: Bbox
    is_near: bool

    def strikes(self, box: Bbox) -> bool:
        """Return whether the line between point and name crosses a box."""
        (x0, x1), (y0, y1) = (sorted(ends) for ends in zip(self.point, self.centre, strict=True))
        if self.is_near or x1 < box.x0 or box.x1 < x0 or y1 < box.y0 or box.y1 < y0:
            return False
        steps = (step / 64 for step in range(65))
        return any(
            box.contains(*(a + s * (b - a) for a, b in zip(self.point, self.centre, strict=True)))
            for s in steps
        )


def _around(
    point: tuple[float, float], size: tuple[float, float], pixels: float
) -> Iterator[_Name]:
    """List positions around a point, the nearest first."""
    for distance, direction in itertools.product(_DISTANCES, _DIRECTIONS):
        angle = direction * math.tau / 16
        centre = (
            point[0] + math.cos(angle) * (distance * pixels + size[0] / 2),
            point[1] + math.sin(angle) * (distance * pixels + size[1] / 2),
        )
        yield _Name(point, centre, _box(centre, size), distance == _DISTANCES[0])


def _best(candidates: Iterator[_Name], conflicts: Callable[[_Name], tuple[int, int]]) -> _Name:
    """Return the first of the candidates with the fewest conflicts."""
    best, fewest = None, (math.inf, math.inf)
    for candidate in candidates:
        found = conflicts(candidate)
        if found < fewest:
            best, fewest = candidate, found
        if fewest == (0, 0):
            break  # none can be better
    assert best is not None
    return best


def _conflicts(
    name: _Name, frame: Bbox, marks: Sequence[Bbox], names: Sequence[_Name]
) -> tuple[int, int]:
    """Count what a name covers, or is covered by, and, with less weight, marks crossed by its line.

    Marks that coincide with the point are not counted, because no line can avoid them.
    """
    box = name.box
    is_inside = (
        frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    )
    on_marks = sum(box.overlaps(mark) for mark in marks)
    on_names = sum(
        box.overlaps(each.box) or name.strikes(each.box) or each.strikes(box) for each in names
    )
    crossed = sum(name.strikes(mark) for mark in marks)
    return int(not is_inside) + on_marks + on_names, crossed


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    place = axes.transData.transform((x, y))
    return float(place[0]), float(place[1])


def _box(centre: tuple[float, float], size: tuple[float, ...]) -> Bbox:
    (x, y), (width, height) = centre, size
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
