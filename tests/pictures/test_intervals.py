"""Figures of accuracies with confidence intervals."""

import pytest

from pks4_lightning.pictures.intervals import Bar, interval_curves, interval_figure

CURVES = {
    "full": [Bar("12", 0.5, 0.4, 0.6), Bar("24", 0.9, 0.8, 1.0)],
    "average": [Bar("12", 0.25, -0.1, 0.35), Bar("24", 0.25, 0.2, 0.3)],
}


def test_every_curve_shows_its_means_and_intervals_and_no_share_leaves_its_range():
    levels = {"chance": 0.25}
    figure = interval_curves(CURVES, at=[12, 24], title="t", quantity="pixels", levels=levels)
    (axes,) = figure.axes
    drawn = {bar.get_label(): bar for bar in axes.containers}
    for name, bars in CURVES.items():
        line, _, (ends,) = drawn[name].lines
        assert line.get_ydata() == pytest.approx([100 * bar.mean for bar in bars])
        lows = [segment[0][1] for segment in ends.get_segments()]
        assert lows == pytest.approx([100 * max(bar.low, 0.0) for bar in bars])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["12", "24"]
    assert "chance" in {text.get_text() for text in axes.texts}


def test_curves_at_one_value_are_drawn():
    curves = {name: bars[:1] for name, bars in CURVES.items()}
    figure = interval_curves(curves, at=[12], title="t", quantity="pixels")
    assert len(figure.axes[0].containers) == 2


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        interval_curves({}, at=[], title="t", quantity="pixels")
    with pytest.raises(ValueError, match="at least one"):
        interval_figure([], title="t")


def test_chance_is_labelled_where_it_is():
    axes = interval_figure([Bar("a", 0.5, 0.4, 0.6)], title="t", chance=0.25).axes[0]
    (label,) = (text for text in axes.texts if text.get_text() == "chance")
    assert label.xy[0] == 25.0
    assert any(list(line.get_xdata()) == [25.0, 25.0] for line in axes.lines)


@pytest.mark.parametrize("number", [1, 3, 12])
def test_numbers_stay_between_title_and_axis(number):
    figure = interval_figure([Bar(str(k), 0.5, 0.4, 0.6) for k in range(number)], title="t")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    frame = axes.get_window_extent()
    for text in axes.texts:
        extent = text.get_window_extent()
        assert frame.y0 <= extent.y0, text.get_text()
        assert extent.y1 <= frame.y1, text.get_text()
