import math

import pytest
import torch

from pks4_lightning.data.clips.transforms import (
    Augmentation,
    crop_clip,
    random_crop_box,
    spatial_crop_box,
)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def test_random_crops_have_the_areas_and_ratios_asked_for():
    augmentation = Augmentation(scale=(0.2, 0.6), ratio=(0.5, 2.0))
    generator = draw()
    shares, ratios, tops = [], [], []
    for _ in range(3000):
        top, left, height, width = random_crop_box(300, 300, augmentation, generator)
        assert 0 <= top <= 300 - height
        assert 0 <= left <= 300 - width
        shares.append(height * width / 300**2)
        ratios.append(width / height)
        tops.append(top / max(1, 300 - height))
    assert min(shares) == pytest.approx(0.2, abs=0.01)
    assert max(shares) == pytest.approx(0.6, abs=0.01)
    assert min(ratios) == pytest.approx(0.5, abs=0.02)
    assert max(ratios) == pytest.approx(2.0, abs=0.05)
    # log-uniform: ratios below and above 1 are equally frequent
    assert sum(ratio < 1 for ratio in ratios) / len(ratios) == pytest.approx(0.5, abs=0.04)
    assert sum(tops) / len(tops) == pytest.approx(0.5, abs=0.03)


def test_random_crops_that_never_fit_become_the_largest_allowed_one():
    box = random_crop_box(100, 400, Augmentation(scale=(1.0, 1.0), ratio=(0.5, 2.0)), draw())
    assert box == (0, 100, 100, 200)
    box = random_crop_box(400, 100, Augmentation(scale=(1.0, 1.0), ratio=(0.5, 2.0)), draw())
    assert box == (100, 0, 200, 100)


def test_test_crops_are_left_centre_right():
    def boxes(height, width, num_crops):
        return [
            spatial_crop_box(height, width, size=224, crop_index=i, num_crops=num_crops)
            for i in range(num_crops)
        ]

    assert boxes(256, 320, 3) == [(16, 0, 224, 224), (16, 48, 224, 224), (16, 96, 224, 224)]
    assert boxes(340, 256, 3) == [(0, 16, 224, 224), (58, 16, 224, 224), (116, 16, 224, 224)]
    assert boxes(256, 320, 1) == [(16, 48, 224, 224)]
    assert boxes(256, 320, 2) == [(16, 0, 224, 224), (16, 96, 224, 224)]
    assert boxes(200, 300, 1) == [(0, 50, 200, 200)]


@pytest.mark.parametrize(
    ("crop_index", "num_crops", "sentence"),
    [
        (5, 3, "crop_index is 5; it must be from 0 to 2"),
        (1, 1, "crop_index is 1; it must be from 0 to 0"),
        (-1, 3, "crop_index is -1; it must be from 0 to 2"),
        (0, 0, "num_crops is 0; it must be at least 1"),
    ],
)
def test_a_crop_beside_the_frame_is_refused(crop_index, num_crops, sentence):
    with pytest.raises(ValueError, match=sentence):
        spatial_crop_box(32, 48, size=32, crop_index=crop_index, num_crops=num_crops)


def test_a_crop_of_the_right_size_is_cut_out_as_it_is():
    frames = torch.randint(256, (3, 20, 30, 3), generator=draw(), dtype=torch.uint8)
    clip = crop_clip(frames, (4, 7, 16, 16), size=16)
    assert torch.equal(clip, frames[:, 4:20, 7:23].permute(3, 0, 1, 2))
    assert clip.is_contiguous()
    mirrored = crop_clip(frames, (4, 7, 16, 16), size=16, flip=True)
    assert torch.equal(mirrored, clip.flip(-1))


def test_scaling_agrees_with_averaging():
    frames = torch.randint(256, (2, 32, 32, 3), generator=draw(), dtype=torch.uint8)
    flat = frames.clone()
    flat[:, 8:24, 8:24] = 90
    clip = crop_clip(flat, (8, 8, 16, 16), size=4)
    assert torch.equal(clip, torch.full((3, 2, 4, 4), 90, dtype=torch.uint8))
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).view(1, 1, 32, 1).expand(1, 32, 32, 3)
    means = crop_clip(ramp, (0, 0, 32, 32), size=8)[0, 0, 0].float()
    torch.testing.assert_close(means[1:-1], torch.arange(1, 7) * 32.0 + 12, atol=1, rtol=0)


def test_fine_patterns_do_not_alias():
    stripes = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    stripes[:, :, ::4] = 255
    clip = crop_clip(stripes, (0, 0, 32, 32), size=4)
    assert ((clip.int() - 64).abs() < 20).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, "augmentation.flip is 1.5"),
        ({"grayscale": -0.1}, "augmentation.grayscale is -0.1"),
        ({"scale": (0.5, 1.2)}, "augmentation.scale is 0.5 to 1.2"),
        ({"scale": (0.0, 1.0)}, "augmentation.scale is 0.0 to 1.0"),
        ({"ratio": (2.0, 1.0)}, "augmentation.ratio is 2.0 to 1.0"),
        ({"randaugment_magnitude": 11.0}, "augmentation.randaugment_magnitude is 11"),
        (
            {"randaugment_num_ops": -1},
            "augmentation.randaugment_num_ops is -1; it must be at least 0",
        ),
        (
            {"randaugment_std": math.nan},
            "augmentation.randaugment_std is nan; it must be at least 0",
        ),
    ],
)
def test_impossible_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_playing_backwards_needs_to_know_what_comes_out():
    with pytest.raises(ValueError, match="reverse_label_pairs is empty"):
        Augmentation(reverse=0.5)
