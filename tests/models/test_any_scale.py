"""A classifier accepts clips of any length and size, and patches of any size."""

import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import resolve_backbone_config


@pytest.fixture
def video(draw):
    return draw(2, 3, 4, 32, 32)


@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True}, {"class_route": "tsm"}])
@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize("frame_size", [4, 12, 20, 32, 44])
def test_any_length_and_any_grid_train_every_parameter(
    make_classifier, draw, num_frames, frame_size, settings
):
    classifier = make_classifier(window_size=9, context_frames=4, **settings)
    logits = classifier(draw(2, 3, num_frames, frame_size, frame_size), patch_size=4)
    logits.square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    weight = classifier.backbone.vision_model.embeddings.patch_embedding.weight
    assert weight.shape[-1] == 8
    assert weight.grad.any()


def test_the_own_patch_size_and_grid_change_no_bit(make_classifier, video):
    plain = make_classifier().eval()
    on_own_grid = make_classifier(grid_size="own").eval()
    on_grid_4 = make_classifier(grid_size=4).eval()
    expected = plain(video)
    for logits in (plain(video, 8), on_own_grid(video), on_grid_4(video), on_grid_4(video, 8)):
        torch.testing.assert_close(logits, expected, rtol=0, atol=0)
    assert plain.state_dict().keys() == on_grid_4.state_dict().keys()


def test_a_fixed_grid_has_as_many_tokens_at_every_size(make_classifier, draw):
    classifier = make_classifier(grid_size=4)
    shapes = []
    classifier.pks4.register_forward_hook(lambda _, _args, y: shapes.append(tuple(y.shape)))
    for size in (16, 24, 32, 48, 96):
        classifier(draw(1, 3, 2, size, size))
    assert set(shapes) == {(2, 17, 16)}


def test_enlarged_clips_on_a_fixed_grid_have_the_logits_of_the_small_ones(make_classifier, draw):
    classifier = make_classifier(grid_size=4).double().eval()
    video = draw(2, 3, 3, 32, 32, dtype=torch.float64)
    patches = video.unflatten(-1, (4, 8)).unflatten(-3, (4, 8)).movedim(-2, -3)
    enlarged = F.interpolate(
        patches.flatten(0, -3).unsqueeze(1), size=(12, 12), mode="bicubic", antialias=True
    )
    large = enlarged.view(*patches.shape[:-2], 12, 12).movedim(-3, -2).flatten(-2).flatten(-3, -2)
    assert large.shape == (2, 3, 3, 48, 48)
    torch.testing.assert_close(classifier(large), classifier(video))


def test_clips_that_are_not_square_take_any_patch_size(make_classifier, draw):
    classifier = make_classifier()
    for patch_size in (None, 4, 8):
        assert classifier(draw(1, 3, 2, 16, 40), patch_size).shape == (1, 5)


@pytest.mark.parametrize("size", [(30, 30), (32, 16)])
def test_frames_that_a_fixed_grid_does_not_divide_are_refused(make_classifier, draw, size):
    with pytest.raises(ValueError, match=rf"{size[0]}x{size[1]} pixels .* 4x4 square patches"):
        make_classifier(grid_size=4)(draw(1, 3, 2, *size))


@pytest.mark.parametrize(("grid_size", "resolved"), [("own", 4), (7, 7), (None, None)])
def test_a_checkpoint_names_the_grid(tiny_fields, grid_size, resolved):
    config = PKS4Config(
        num_classes=5, pretrained=False, backbone_config=tiny_fields, grid_size=grid_size
    )
    assert resolve_backbone_config(config).grid_size == resolved
