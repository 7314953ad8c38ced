"""Maps and figure of the priors for a square that moves over the patch grid."""

import io

import numpy as np
import pytest
import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.pictures.priors import compare_frames, has_priors, prior_figure, prior_maps
from tests.helpers.towers import TINY_TOWER

GRID, SIDE, FRAMES = 9, 2, 4


def moving_square(down, right):
    """Return features (1 T M Y X) of a square moving by (down, right) per frame, and its corners.

    All patches of the background and of the square have mutually orthogonal features.
    """
    num_patches, num_parts = GRID * GRID, SIDE * SIDE
    features = torch.zeros(1, FRAMES, num_patches + num_parts, GRID, GRID)
    background = torch.eye(num_patches).view(num_patches, GRID, GRID)
    corners = [(1 + down * t, 1 + right * t) for t in range(FRAMES)]
    for t, (top, left) in enumerate(corners):
        features[0, t, :num_patches] = background
        features[0, t, :, top : top + SIDE, left : left + SIDE] = 0
        parts = torch.eye(num_parts).view(num_parts, SIDE, SIDE)
        features[0, t, num_patches:, top : top + SIDE, left : left + SIDE] = parts
    return features, corners


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 2), (2, 1)])
def test_the_squares_patches_are_found_where_they_went(down, right):
    features, corners = moving_square(down, right)
    maps = compare_frames(features, features, window_size=5)
    for t, (top, left) in enumerate(corners[:-1]):
        of_square = np.s_[0, t, top : top + SIDE, left : left + SIDE]
        assert (maps.displacement[of_square] == (down, right)).all()
        assert (maps.correlation[of_square][..., 2 + down, 2 + right] == 1.0).all()
        assert (maps.correlation[of_square].sum(axis=(-2, -1)) == 1.0).all()
        changed = np.zeros((GRID, GRID), bool)
        for corner_top, corner_left in corners[t : t + 2]:  # patches left and entered
            changed[corner_top : corner_top + SIDE, corner_left : corner_left + SIDE] = True
        np.testing.assert_allclose(maps.variation[0, t], np.where(changed, np.sqrt(2), 0), 1e-6)
        assert not maps.displacement[0, t][~changed].any()
    assert not maps.displacement[0, -1].any()
    assert not maps.variation[0, -1].any()


def test_the_figure_frames_a_patch_that_changes_and_colours_its_window():
    features, corners = moving_square(0, 2)
    maps = compare_frames(features, features, window_size=5)
    frames = np.zeros((FRAMES, 36, 36, 3), np.uint8)
    figure = prior_figure(frames, maps, captions=["0 s", "1 s", "2 s", "3 s"])
    figure.savefig(io.BytesIO())
    shown, windows, variation = (figure.axes[k * FRAMES : (k + 1) * FRAMES] for k in range(3))
    assert [axes.get_title() for axes in shown] == ["0 s", "1 s", "2 s", "3 s"]
    for t, (top, left) in enumerate(corners[:-1]):
        (framed,) = shown[t].patches
        x, y = (round(GRID * each) for each in framed.get_xy())
        assert (y, x) == (top, left)  # the first of the patches with the largest change
        field = np.asarray(windows[t].images[1].get_array().filled(np.nan))
        assert np.nanmax(field) == field[top, left + 2] == 1.0
        assert np.isnan(field[GRID - 1, GRID - 1])  # outside the window
        assert (np.asarray(variation[t].images[1].get_array()) == maps.variation[0, t]).all()
    assert not shown[-1].patches
    (framed,) = prior_figure(frames, maps, patch=(0, 8)).axes[0].patches
    assert tuple(round(GRID * each) for each in framed.get_xy()) == (8, 0)


def test_a_missing_operator_is_a_missing_row():
    features, _ = moving_square(1, 0)
    frames = np.zeros((FRAMES, 36, 36, 3), np.uint8)
    of_one = compare_frames(None, features, window_size=1)
    assert of_one.correlation is None
    with pytest.raises(ValueError, match="Displacements are read from correlations"):
        _ = of_one.displacement
    for maps in (of_one, compare_frames(features, None, window_size=5)):
        figure = prior_figure(frames, maps)
        figure.savefig(io.BytesIO())
        assert len(figure.axes) == 2 * FRAMES
    with pytest.raises(ValueError, match="at least 2 frames and a map, got 1 frames"):
        prior_figure(frames[:1], of_one)


def classifier(**options):
    torch.manual_seed(0)
    sizes = {"insert_after": 2, "window_size": 5, "d_prior": 8, "d_state": 4}
    config = PKS4Config(
        num_classes=5, pretrained=False, backbone_config=TINY_TOWER, **sizes, **options
    )
    return build_classifier(config).eval()


@pytest.mark.parametrize("options", [{}, {"scanner": "none"}], ids=str)
def test_maps_equal_what_the_operators_compute(options):
    """The maps are the operators' comparisons with the next frame."""
    model = classifier(**options)
    computed = {}
    encoder = model.pks4.prior_encoder
    for operator in (encoder.correlation, encoder.variation):
        operator.compare = lambda x, operator=operator: computed.setdefault(
            operator, type(operator).compare(operator, x)
        )
    video = torch.randn(2, 3, 4, 32, 32)
    maps = prior_maps(model, video)
    later = encoder.correlation.offsets.index(1)
    windows = computed[encoder.correlation][:, :, later].movedim(2, -1).flatten(-1)
    np.testing.assert_allclose(maps.correlation.reshape(windows.shape), windows.numpy(), atol=1e-6)
    lengths = computed[encoder.variation][:, :, later].norm(dim=2)
    np.testing.assert_allclose(maps.variation, lengths.numpy(), rtol=1e-6)
    assert not any(module._forward_hooks for module in (encoder.correlation.reduce, model.head))


def test_a_classifier_without_priors_has_nothing_to_show():
    without = classifier(use_correlation=False, use_variation=False)
    assert not has_priors(without)
    assert not has_priors(torch.nn.Linear(2, 2))
    assert has_priors(classifier(use_correlation=False))
    with pytest.raises(ValueError, match="the correlation or the variation operator"):
        prior_maps(without, torch.zeros(1, 3, 2, 32, 32))
