import io
from typing import NamedTuple

import numpy as np
import pytest

from pks4_lightning.pictures.timeline import timeline_figure


class Part(NamedTuple):
    start: float
    end: float
    label: int


NAMES = [f"class {k}" for k in range(30)]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_classes_are_in_order_of_appearance():
    scores = np.zeros((4, 30))
    scores[[0, 1, 2, 3], [7, 7, 3, 9]] = 0.9
    scores[1, 5] = 0.3
    parts = [Part(0, 40, 7), Part(40, 80, 3), Part(80, 100, 9)]
    figure = timeline_figure(np.arange(5) * 25.0, scores, parts, names=NAMES, title="a.mp4")
    bar, maps = figure.axes[:2]
    assert [t.get_text() for t in maps.get_yticklabels()] == [NAMES[k] for k in (7, 3, 9, 5)]
    assert texts(bar) == [NAMES[k] for k in (7, 3, 9)]
    assert [patch.get_width() for patch in bar.patches] == [40, 40, 20]
    assert maps.xaxis.get_major_formatter()(75.0, 0) == "1:15"
    assert maps.xaxis.get_major_formatter()(3725.5, 0) == "1:02:05.5"
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    assert len(picture.getvalue()) > 5000


def test_many_classes_are_twelve_and_a_brief_segment_has_no_name_in_it():
    scores = np.full((30, 30), 0.2)
    parts = [Part(k, k + 1, k) for k in range(30)]
    figure = timeline_figure(np.arange(31.0), scores, parts, names=NAMES, title="")
    bar, maps = figure.axes[:2]
    assert len(maps.get_yticklabels()) == 12
    assert texts(bar) == []
    assert len(bar.patches) == 30


def test_an_empty_timeline_is_refused():
    with pytest.raises(ValueError, match="at least one moment"):
        timeline_figure(np.zeros(1), np.zeros((0, 3)), [], names=NAMES, title="")
