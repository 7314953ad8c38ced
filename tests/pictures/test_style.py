"""Figures show any name as it is, whatever it means to matplotlib."""

import io
from dataclasses import dataclass

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

from pks4_lightning.pictures.confusion import confusion_matrix_figure
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.pictures.curves import Curve, RunCurves, learning_curves
from pks4_lightning.pictures.data_check import data_check_figure
from pks4_lightning.pictures.heat_map import heat_map_figure
from pks4_lightning.pictures.intervals import Bar, interval_curves, interval_figure
from pks4_lightning.pictures.motion_maps import MotionMaps, motion_figure
from pks4_lightning.pictures.priors import PriorMaps, prior_figure
from pks4_lightning.pictures.style import written
from pks4_lightning.pictures.timeline import timeline_figure
from pks4_lightning.pictures.trade_offs import Point, Sweep, sweep_figure, trade_off_figure

CURVE = Curve(np.arange(3.0), np.full(3, 0.5))
FRAMES = np.zeros((2, 8, 8, 3), dtype=np.uint8)
MAP = np.zeros((1, 2, 4, 4), dtype=np.float32)


@dataclass
class Segment:
    start: float = 0.0
    end: float = 2.0
    label: int = 0


def bar(name):
    return Bar(name, 0.5, 0.4, 0.6)


def timeline(name, title="a title"):
    return timeline_figure(
        np.array([0.0, 1.0, 2.0]), np.full((2, 2), 0.5), [Segment()], names=[name, "b"], title=title
    )


FIGURES = {
    "confusion": lambda name: confusion_matrix_figure(np.eye(2, dtype=int), [name, "b"]),
    "confusion of many": lambda name: confusion_matrix_figure(
        np.eye(41, dtype=int), [name, *map(str, range(40))], with_all_names=True
    ),
    "contact sheet": lambda name: contact_sheet(FRAMES[None], [name]),
    "curves": lambda name: learning_curves({name: [RunCurves(CURVE, CURVE)]}),
    "marks of curves": lambda name: learning_curves(
        {"a": [RunCurves(CURVE, CURVE)]}, loss_marks={name: 0.5}
    ),
    "data check": lambda name: data_check_figure({name: [1, 2]}, {name: [8, 9]}),
    "heat map": lambda name: heat_map_figure(
        {name: np.full((2, 2), 0.5)}, frames=[4, 8], resolutions=[32, 48]
    ),
    "intervals": lambda name: interval_figure([bar(name)], title="a title"),
    "title of intervals": lambda name: interval_figure([bar("a")], title=name),
    "curves of intervals": lambda name: interval_curves(
        {name: [bar("a")]}, at=[1], title="a title", quantity="frames"
    ),
    "motion": lambda name: motion_figure(
        FRAMES, MotionMaps(np.zeros((1, 2, 4, 4, 2), dtype=np.float32), MAP, MAP), title=name
    ),
    "priors": lambda name: prior_figure(FRAMES, PriorMaps(None, MAP), captions=["a", name]),
    "title of priors": lambda name: prior_figure(FRAMES, PriorMaps(None, MAP), title=name),
    "timeline": timeline,
    "title of a timeline": lambda name: timeline("a", title=name),
    "trade-offs": lambda name: trade_off_figure(
        {"cost": [Point("a", 1.0, 50.0, name), Point("b", 1000.0, 60.0, name)]}
    ),
    "names of trade-offs": lambda name: trade_off_figure(
        {"cost": [Point(name, 1.0, 50.0, "ours"), Point("b", 9.0, 60.0, "ours")]}, named=True
    ),
    "sweep": lambda name: sweep_figure({"a": (Sweep([name], [[50.0]]), Sweep(["b"], [[50.0]]))}),
}
NAMES = {
    "Make $$ fast.mp4": "Make $$ fast.mp4",
    "$1 vs $100.mp4": "$1 vs $100.mp4",
    "$\\frac{$": "$\\frac{$",
    "a\\$b$c\\$": "a\\$b$c\\$",
    "_hidden": "_hidden",
    "bell\a, \udcff.mp4": "bell?, ?.mp4",
    "שלום": "שלום",
    "v" * 255: "v" * 20,
}
"""Names, and what is to be read in the figure: all of it, or how it begins."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", FIGURES)
def test_every_figure_shows_any_name_as_it_is(kind, name):
    figure = FIGURES[kind](name)
    figure.savefig(io.BytesIO(), format="png", dpi=40)  # warnings are errors here
    shown = [text.get_text() for text in figure.findobj(Text)]
    found = [text for text in shown if NAMES[name] in text.replace("\\$", "$")]
    assert found
    assert not any(is_math_text(text) for text in found)


def test_a_name_is_one_line_of_at_most_so_many_characters():
    assert written("one\ntwo\u2028three") == "one two three"
    assert written("a longer name", most=8) == "a longe…"
    assert written("a" * 60) == "a" * 60
