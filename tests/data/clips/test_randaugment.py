import pytest
import torch

from pks4_lightning.data.clips.randaugment import OPERATIONS, augment_clips
from pks4_lightning.data.clips.transforms import Augmentation

FILL = (0.4, 0.5, 0.6)
ALL_OPS = Augmentation(randaugment_num_ops=4, randaugment_probability=1.0, grayscale=0.2)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_all_frames_of_a_clip_get_the_same_draw():
    still = noise(6, 3, 1, 32, 32).expand(6, 3, 5, 32, 32)
    out = augment_clips(still, torch.arange(6), ALL_OPS, fill=FILL)
    assert not torch.equal(out, still)
    assert torch.equal(out, out[:, :, :1].expand_as(out))


def test_clips_differ_by_their_seeds_alone():
    clip = noise(1, 3, 2, 32, 32)
    out = augment_clips(
        clip.repeat(5, 1, 1, 1, 1), torch.tensor([7, 8, 7, 9, 10]), ALL_OPS, fill=FILL
    )
    assert torch.equal(out[0], out[2])
    assert not torch.equal(out[0], out[1])
    alone = augment_clips(clip, torch.tensor([9]), ALL_OPS, fill=FILL)
    assert torch.equal(alone[0], out[3])


def test_global_generators_are_left_alone():
    state = torch.random.get_rng_state()
    augment_clips(noise(4, 3, 2, 16, 16), torch.arange(4), ALL_OPS, fill=FILL)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_nothing_switched_on_changes_nothing():
    clips = noise(2, 3, 2, 16, 16)
    assert augment_clips(clips, torch.arange(2), Augmentation(), fill=FILL) is clips
    never = Augmentation(randaugment_num_ops=4, randaugment_probability=0.0)
    assert torch.equal(augment_clips(clips, torch.arange(2), never, fill=FILL), clips)


def test_an_operation_happens_as_often_as_asked():
    clips = noise(1, 3, 1, 8, 8).expand(400, 3, 1, 8, 8)
    half = Augmentation(randaugment_num_ops=1, randaugment_probability=0.5)
    out = augment_clips(clips, torch.arange(400), half, fill=FILL)
    changed = sum(not torch.equal(a, b) for a, b in zip(out, clips, strict=True))
    assert 160 <= changed <= 240


def test_grayscale_takes_the_colour_from_as_many_clips_as_asked():
    clips = noise(1, 3, 2, 8, 8).expand(300, 3, 2, 8, 8)
    out = augment_clips(clips, torch.arange(300), Augmentation(grayscale=0.2), fill=FILL)
    gray = sum(torch.equal(clip[0], clip[2]) for clip in out)
    assert 40 <= gray <= 82


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_change_pictures_and_stay_in_range(name):
    frames = noise(2, 3, 24, 24) * 0.8 + 0.1
    out = OPERATIONS[name](frames, 0.7, 1.0, torch.tensor(FILL)).clamp(0, 1)
    assert out.shape == frames.shape
    assert (out - frames).abs().mean() > 0.02


@pytest.mark.parametrize(
    "name",
    ["rotate", "color", "contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x",
     "translate_y", "solarize", "solarize_add"],
)  # fmt: skip
def test_strength_zero_is_no_change_and_more_is_more(name):
    frames = torch.nn.functional.avg_pool2d(noise(1, 3, 64, 64), 9, 1, 4)
    frames = (frames - frames.min()) / (frames.max() - frames.min()) * 0.99
    changes = [
        (OPERATIONS[name](frames, strength, 1.0, torch.tensor(FILL)) - frames).abs().mean()
        for strength in (0.0, 0.3, 0.6)
    ]
    assert changes[0] < 1e-3
    assert changes[0] < changes[1] < changes[2]


def test_translations_move_by_a_share_of_the_frame_and_fill_with_the_mean():
    frames = noise(1, 3, 20, 40)
    out = OPERATIONS["translate_x"](frames, 0.5, 1.0, torch.tensor(FILL))
    torch.testing.assert_close(out[..., 9:], frames[..., :31], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[0, :, 10, 3], torch.tensor(FILL), atol=1e-4, rtol=0)


def test_rotation_turns_about_the_centre():
    frames = noise(1, 3, 21, 21)
    thrice = OPERATIONS["rotate"](frames, 3.0, 1.0, torch.tensor(FILL))
    torch.testing.assert_close(thrice, torch.rot90(frames, 1, (2, 3)), atol=1e-3, rtol=0)


def test_posterize_keeps_two_bits_at_strength_seven():
    frames = noise(1, 3, 32, 32)
    out = OPERATIONS["posterize"](frames, 0.7, 1.0, torch.tensor(FILL))
    assert len(out.unique()) == 4
