"""Labels of points stay inside the axes and overlap no mark, label or line."""

import itertools

import pytest
from matplotlib.transforms import Bbox

from pks4_lightning.pictures.point_names import _best
from pks4_lightning.pictures.trade_offs import Point, trade_off_figure

TOP1 = {
    "pks4": 100.0,
    "st_adapter": 99.2,
    "aim": 99.8,
    "evl": 100.0,
    "side4video": 100.0,
    "videomamba_ti": 96.3,
    "frame_average": 50.1,
    "tsm": 100.0,
}
COSTS = {
    "close together": (0.050, 0.055, 0.060, 0.058, 0.052, 0.040, 0.042, 0.042),
    "some the same": (11.0, 14.0, 22.0, 4.0, 4.1, 60.0, 9.0, 9.0),
    "three the same, at the end": (5.0, 5.0, 5.0, 4.8, 4.0, 3.0, 2.0, 1.0),
    "far apart": (112.0, 1.0, 170.0, 1250.0, 95.0, 400.0, 60.0, 61.0),
}


@pytest.fixture(scope="module")
def figure():
    panels = {
        title: [
            Point(name, cost, top1, "a kind")
            for (name, top1), cost in zip(TOP1.items(), costs, strict=True)
        ]
        for title, costs in COSTS.items()
    }
    figure = trade_off_figure(panels, named=True)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("panel", range(len(COSTS)), ids=COSTS)
def test_every_point_has_its_name_where_it_hides_nothing(figure, panel):
    axes = figure.axes[panel]
    names = axes.texts
    assert [name.get_text() for name in names] == list(TOP1)
    half = 3 * figure.dpi / 72  # a mark is six points wide
    marks = [axes.transData.transform(name.xy) for name in names]
    marks = [Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half) for x, y in marks]
    boxes = [super(type(name), name).get_window_extent() for name in names]
    for box in boxes:
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1
        assert axes.bbox.y0 <= box.y0
        assert box.y1 <= axes.bbox.y1
    for (i, box), (j, other) in itertools.combinations(enumerate(boxes), 2):
        assert not box.overlaps(other), (names[i], names[j])
    for box, mark in itertools.product(boxes, marks):
        assert not box.overlaps(mark)
    lines = [name.arrow_patch for name in names if name.arrow_patch.get_visible()]
    for line, (name, box) in itertools.product(lines, zip(names, boxes, strict=True)):
        if line is not name.arrow_patch:
            path = line.get_transform().transform_path(line.get_path())
            assert not path.intersects_bbox(box, filled=False)


def test_a_point_alone_has_its_name_right_beside_it():
    axes = trade_off_figure({"cost": [Point("one", 1.0, 50.0, "a kind")]}, named=True).axes[0]
    (name,) = axes.texts
    x, y = name.get_position()
    assert 0 < x < 30
    assert y == pytest.approx(0)
    assert not name.arrow_patch.get_visible()


def test_the_first_of_equally_good_places_is_taken():
    conflicts = {"near": (1, 1), "better": (1, 0), "as good": (1, 0), "worse": (2, 0)}
    assert _best(iter(conflicts), conflicts.__getitem__) == "better"
    assert _best(iter(["worse", "free", "far"]), {"worse": (2, 0), "free": (0, 0)}.__getitem__) == (
        "free"
    )
