import io

import numpy as np
import pytest
import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.pictures.motion_maps import motion_figure, motion_maps
from pks4_lightning.pictures.scaling import scaling_figure
from tests.helpers.towers import TINY_TOWER


def classifier(**options):
    torch.manual_seed(0)
    sizes = {"insert_after": 2, "window_size": 5, "d_prior": 8, "d_state": 4}
    config = PKS4Config(
        num_classes=5, pretrained=False, backbone_config=TINY_TOWER, **{**sizes, **options}
    )
    return build_classifier(config).eval()


def clip(num_clips=2, num_frames=4):
    return torch.randn(num_clips, 3, num_frames, 32, 32, generator=torch.Generator().manual_seed(1))


def test_maps_have_a_value_for_every_frame_and_patch():
    maps = motion_maps(classifier(), clip())
    assert maps.displacement.shape == (2, 4, 4, 4, 2)
    assert maps.variation.shape == maps.step_size.shape == (2, 4, 4, 4)
    assert (maps.step_size > 0).all()


def test_the_step_size_is_the_one_that_the_scan_is_given(monkeypatch):
    given = {}

    def scan(u, delta, *_, delta_bias, **__):
        given["delta"] = torch.nn.functional.softplus(delta + delta_bias)
        return u

    monkeypatch.setattr("pks4_lightning.models.scanner.selective_scan", scan)
    maps = motion_maps(classifier(), clip())
    mean = given["delta"].mean(-1).unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    np.testing.assert_allclose(maps.step_size, mean.numpy(), rtol=1e-5)


def test_step_sizes_of_a_control_are_refused():
    with pytest.raises(ValueError, match="set scanner to mamba"):
        motion_maps(classifier(scanner="gru"), clip())


def test_a_static_clip_does_not_change():
    still = clip(num_frames=1).expand(-1, -1, 7, -1, -1)
    maps = motion_maps(classifier(class_route="none"), still)
    # only frames with all neighbours: the correlation depends on the ends of a clip
    assert maps.variation[:, 2:4].max() < 1e-5
    assert maps.variation[:, 1].max() > 1e-5
    assert (maps.displacement[:, -1] == 0).all()


def test_no_hooks_stay_in_the_classifier():
    model = classifier()
    hooks = [len(module._forward_hooks) for module in model.modules()]
    motion_maps(model, clip())
    assert [len(module._forward_hooks) for module in model.modules()] == hooks


def test_a_classifier_without_priors_is_refused():
    with pytest.raises(ValueError, match="both the correlation and the variation"):
        motion_maps(classifier(use_variation=False), clip())


def test_the_figure_shows_every_frame_three_times():
    maps = motion_maps(classifier(), clip())
    frames = np.zeros((4, 32, 32, 3), dtype=np.uint8)
    figure = motion_figure(frames, maps, clip=1, title="a clip")
    figure.savefig(io.BytesIO())
    assert sum(bool(axes.images) for axes in figure.axes) == 3 * 4


def test_the_scaling_figure_draws_every_part_twice():
    curves = {"frames": [1, 2], "pixels": [32, 32], "whole": [10**9, 2 * 10**9], "part": [5, 9]}
    figure = scaling_figure(curves, {**curves, "pixels": [16, 32]}, crossover=12.0)
    figure.savefig(io.BytesIO())
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
