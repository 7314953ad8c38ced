import numpy as np
import pytest

from pks4_lightning.pictures.heat_map import heat_map_figure

ONE = np.array([[0.25, 0.5, np.nan], [0.75, 1.0, 0.0]])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def draw(maps, **options):
    return heat_map_figure(maps, frames=(4, 8), resolutions=(24, 36, 48), **options)


def test_every_cell_holds_its_percentage_and_unknown_ones_none():
    (axes,) = draw({"ours": ONE}).axes
    assert texts(axes) == ["25", "50", "", "75", "100", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["4", "8"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["24", "36", "48"]


def test_two_models_show_their_difference():
    *_, difference = draw({"ours": ONE, "theirs": np.full((2, 3), 0.5)}).axes
    assert difference.get_title(loc="left") == "ours - theirs"
    assert texts(difference) == ["-25", "+0", "", "+25", "+50", "-50"]


def test_more_models_have_a_map_each_and_no_difference():
    figure = draw({str(number): ONE for number in range(5)}, marked=[(8, 36)])
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in shown] == ["0", "1", "2", "3", "4"]
    assert [line.get_xydata().tolist() for line in shown[0].lines] == [[[1, 1]]]


def test_no_model_is_refused():
    with pytest.raises(ValueError, match="at least one model"):
        draw({})
