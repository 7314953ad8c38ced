"""Curves, contact sheets and confusion matrices: contents and errors."""

import io

import numpy as np
import pytest

from pks4_lightning.pictures.confusion import confusion_matrix_figure
from pks4_lightning.pictures.contact_sheet import contact_sheet
from pks4_lightning.pictures.curves import Curve, RunCurves, learning_curves
from pks4_lightning.pictures.style import COLOURS


def render(figure):
    """Render a figure; warnings about glyphs and layout are errors here."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def texts(figure):
    return [text.get_text() for text in figure.texts]


def make_clips(num_clips, num_frames):
    """Make clips whose frames are filled with their number."""
    values = np.arange(num_clips * num_frames, dtype=np.uint8).reshape(num_clips, num_frames)
    return np.broadcast_to(values[..., None, None, None], (num_clips, num_frames, 8, 8, 3))


def shown_values(axes):
    strip = axes.images[0].get_array()
    row = strip[0, :, 0]
    return [int(value) for value in row[row < 255][::8]]


def test_a_row_holds_its_clips_frames_in_order():
    figure = contact_sheet(make_clips(2, 5), ["one", "two"])
    assert [shown_values(axes) for axes in figure.axes] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert texts(figure) == ["one", "two"]
    tops = [axes.get_position().y1 for axes in figure.axes]
    assert tops[0] > tops[1]
    render(figure)


def test_long_clips_are_thinned_evenly_with_both_ends():
    figure = contact_sheet(make_clips(1, 32), ["long"], max_frames=4)
    assert shown_values(figure.axes[0]) == [0, 10, 21, 31]


def test_right_and_wrong_differ_in_mark_and_colour():
    figure = contact_sheet(make_clips(1, 2), ["truth\n✓ right\n✗ wrong"])
    assert texts(figure) == ["truth", "✓ right", "✗ wrong"]
    assert [text.get_color() for text in figure.texts] == ["black", COLOURS[0], COLOURS[1]]
    render(figure)


@pytest.mark.parametrize(("num_clips", "titles"), [(2, ["one"]), (0, [])])
def test_a_sheet_without_a_title_for_each_clip_is_refused(num_clips, titles):
    with pytest.raises(ValueError, match=f"{num_clips} clips and {len(titles)} titles"):
        contact_sheet(make_clips(num_clips, 2), titles)


def test_confusion_rows_are_shares_of_the_true_class():
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]])
    figure = confusion_matrix_figure(counts, ["a", "b", "c"])
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array()[0], [0.75, 0.25, 0.0])
    assert np.isnan(np.ma.filled(axes.images[0].get_array(), np.nan)[1]).all()
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "75%", (1, 0): "25%", (1, 2): "50%", (2, 2): "50%"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    render(figure)


@pytest.mark.parametrize(
    "name", ["up", "Pretending to put something behind something", "Größe 10 %"]
)
def test_a_confusion_matrix_has_room_for_its_names_and_no_more(name):
    figure = confusion_matrix_figure(np.eye(3, dtype=int), [name, "b", "$c"])
    figure.draw_without_rendering()
    page, drawn = (
        figure.get_window_extent(),
        figure.get_tightbbox().transformed(figure.dpi_scale_trans),
    )
    for edge, inner in ((page.x0, drawn.x0), (page.y0, drawn.y0)):
        assert 0 <= inner - edge < 0.3 * figure.dpi
    render(figure)


@pytest.mark.parametrize(("num_classes", "labelled"), [(40, True), (41, False), (174, False)])
def test_names_are_written_out_up_to_forty_classes(num_classes, labelled):
    names = [f"class {index}" for index in range(num_classes)]
    figure = confusion_matrix_figure(np.eye(num_classes, dtype=int), names)
    shown = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert (shown == names) is labelled
    assert not figure.axes[0].texts
    render(figure)


def test_every_class_of_a_large_set_is_named_in_figures_for_screens():
    names = [f"Pretending to put something {k} behind something else" for k in range(174)]
    figure = confusion_matrix_figure(np.eye(174, dtype=int), names, with_all_names=True)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        f"{name}  {k}" for k, name in enumerate(names)
    ]
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(k) for k in range(174)]
    figure.draw_without_rendering()
    cell = axes.get_window_extent().height / 174
    name = axes.get_yticklabels()[0].get_window_extent()
    assert name.height / 2 < cell < 2 * name.height  # small text, line below line
    assert figure.get_window_extent().x0 <= name.x0


def test_a_confusion_matrix_with_too_few_names_is_refused():
    with pytest.raises(ValueError, match="3 classes needs as many names, got 2"):
        confusion_matrix_figure(np.eye(3, dtype=int), ["a", "b"])


def make_run(level, num_steps=200):
    steps = np.arange(1, num_steps + 1)
    return RunCurves(
        train_loss=Curve(steps / 40.0, np.full(num_steps, level)),
        val_top1=Curve(np.arange(1.0, 6.0), np.full(5, level)),
    )


def test_curves_show_every_training_once_in_the_legend_and_the_marks():
    figure = learning_curves(
        {"ours": [make_run(0.9), make_run(0.8)], "theirs": [make_run(0.5)]},
        loss_marks={"low": 0.1},
        top1_marks={"half": 0.5},
    )
    loss_axes, top1_axes = figure.axes
    assert [line.get_ydata()[0] for line in loss_axes.lines] == pytest.approx([0.9, 0.8, 0.5, 0.1])
    assert [line.get_ydata()[0] for line in top1_axes.lines] == [0.9, 0.8, 0.5, 0.5]
    legend = [text.get_text() for text in top1_axes.get_legend().get_texts()]
    assert legend == ["ours", "theirs"]
    ours, theirs = top1_axes.lines[0], top1_axes.lines[2]
    assert ours.get_color() != theirs.get_color()
    assert ours.get_linestyle() != theirs.get_linestyle()
    assert ours.get_marker() != theirs.get_marker()
    render(figure)


def test_smoothing_keeps_a_straight_line_away_from_the_ends():
    run = make_run(0.0)
    line = Curve(run.train_loss.epochs, run.train_loss.epochs * 2.0)
    figure = learning_curves({"a": [RunCurves(line, run.val_top1)]})
    drawn = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn[5:-5], line.values[5:-5])


def test_curves_of_no_training_are_refused():
    with pytest.raises(ValueError, match="at least one training"):
        learning_curves({"ours": []})
