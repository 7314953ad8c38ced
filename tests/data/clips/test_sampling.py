import random

import pytest
import torch

from pks4_lightning.data.clips.sampling import (
    CentredSegmentClipSampler,
    RandomSegmentClipSampler,
    plan_views,
    spread_frames,
)
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler
from pks4_lightning.data.video.video import Video

from pytorchvideo.data.clip_sampling import (  # isort: skip - importable only after our compatibility module
    ConstantClipsPerVideoSampler,
    RandomClipSampler,
    RandomMultiClipSampler,
    UniformClipSampler,
)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def video(tmp_path_factory, write_video):
    """A video of forty frames, ten per second."""
    return Video(write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", 40))


@pytest.mark.parametrize("video_frames", [8, 9, 15, 16, 100, 301])
def test_training_takes_one_random_frame_per_segment(video_frames):
    sampler = RandomSegmentClipSampler(8)
    generator = draw()
    seen = set()
    for _ in range(400):
        frames = sampler.select_frames(video_frames, 0, generator)
        for t, frame in enumerate(frames):
            assert t * video_frames // 8 <= frame < (t + 1) * video_frames // 8
        seen.update(frames)
    # a possible frame (one in 38) is missing from 400 draws with probability 2e-5
    assert len(seen) >= 0.99 * video_frames


def test_validation_takes_the_middle_frames():
    assert CentredSegmentClipSampler(8).select_frames(80, 0, draw()) == tuple(range(5, 80, 10))
    assert CentredSegmentClipSampler(4).select_frames(7, 0, draw()) == (0, 2, 4, 6)


def test_test_clips_share_out_the_segments():
    sampler = CentredSegmentClipSampler(4, num_clips=3)
    clips = [sampler.select_frames(80, k, draw()) for k in range(3)]
    assert clips == [(5, 25, 45, 65), (10, 30, 50, 70), (15, 35, 55, 75)]


@pytest.mark.parametrize("sampler", [RandomSegmentClipSampler(8), CentredSegmentClipSampler(8)])
@pytest.mark.parametrize("video_frames", [1, 2, 3, 5, 7, 8])
def test_short_videos_give_every_frame_and_repeats_in_order(sampler, video_frames):
    for seed in range(20):
        frames = sampler.select_frames(video_frames, 0, draw(seed))
        assert len(frames) == 8
        assert list(frames) == sorted(frames)
        assert set(frames) == set(range(video_frames))


@pytest.mark.parametrize("video_frames", [1, 4, 8, 9, 50])
@pytest.mark.parametrize("num_clips", [1, 2, 5])
def test_test_frames_exist(video_frames, num_clips):
    sampler = CentredSegmentClipSampler(8, num_clips=num_clips)
    for k in range(num_clips):
        frames = sampler.select_frames(video_frames, k, draw())
        assert 0 <= frames[0] <= frames[-1] < video_frames


def test_speaks_the_interface():
    sampler = CentredSegmentClipSampler(8, num_clips=2, num_crops=3)
    assert isinstance(sampler, ClipSampler)
    for _ in range(2):
        infos = [sampler(None, 4.0, {}) for _ in range(6)]
        assert [(i.clip_index, i.aug_index) for i in infos] == [
            (0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)
        ]  # fmt: skip
        assert [i.is_last_clip for i in infos] == [False] * 5 + [True]
        assert all((i.clip_start_sec, i.clip_end_sec) == (0, 4) for i in infos)


def test_views_are_clips_times_crops(video):
    sampler = CentredSegmentClipSampler(4, num_clips=2, num_crops=3)
    views = plan_views(sampler, video, num_frames=4, draw_seed=0)
    assert [(v.clip_index, v.crop_index, v.num_crops) for v in views] == [
        (0, 0, 3), (0, 1, 3), (0, 2, 3), (1, 0, 3), (1, 1, 3), (1, 2, 3)
    ]  # fmt: skip
    assert [v.frames for v in views[::3]] == [(3, 13, 23, 33), (6, 16, 26, 36)]


def test_uniform_sampler_of_pytorchvideo_is_accepted(video):
    views = plan_views(UniformClipSampler(1), video, num_frames=5, draw_seed=0)
    assert [view.frames for view in views] == [
        tuple(start + step for step in (0, 2, 4, 6, 9)) for start in (0, 10, 20, 30)
    ]


def test_constant_clips_sampler_of_pytorchvideo_is_accepted(video):
    sampler = ConstantClipsPerVideoSampler(1, clips_per_video=3, augs_per_clip=2)
    for _ in range(2):
        views = plan_views(sampler, video, num_frames=2, draw_seed=0)
        assert [(v.frames, v.crop_index) for v in views] == [
            ((0, 9), 0), ((0, 9), 1), ((10, 19), 0), ((10, 19), 1), ((20, 29), 0), ((20, 29), 1)
        ]  # fmt: skip
        assert {view.num_crops for view in views} == {2}


@pytest.mark.parametrize("sampler", [RandomClipSampler(1), RandomMultiClipSampler(1, 3)])
def test_random_samplers_of_pytorchvideo_draw_from_the_clips_seed(video, sampler):
    state = random.getstate()
    views = [plan_views(sampler, video, num_frames=4, draw_seed=seed) for seed in (1, 1, 2)]
    assert random.getstate() == state
    assert views[0] == views[1] != views[2]


def test_draws_depend_on_the_clips_seed(video):
    sampler = RandomSegmentClipSampler(8)
    views = [plan_views(sampler, video, num_frames=8, draw_seed=seed) for seed in (1, 1, 2)]
    assert views[0] == views[1] != views[2]


def test_spread_frames_keeps_the_ends():
    assert spread_frames(range(10, 20), 4) == (10, 13, 16, 19)
    assert spread_frames(range(10, 20), 1) == (15,)
    assert spread_frames(range(2), 5) == (0, 0, 0, 0, 1)
    assert spread_frames(range(7, 8), 3) == (7, 7, 7)


def test_another_number_of_frames_is_refused(video):
    with pytest.raises(ValueError, match="gives 4 frames per clip, but num_frames is 8"):
        plan_views(CentredSegmentClipSampler(4), video, num_frames=8, draw_seed=0)


def test_a_sampler_that_never_ends_is_refused(video):
    class Endless(ClipSampler):
        def __call__(self, *given):
            return CentredSegmentClipSampler(4, num_clips=2)(*given)

    with pytest.raises(ValueError, match="Endless gave more than 10,000 clips"):
        plan_views(Endless(1), video, num_frames=4, draw_seed=0)


@pytest.mark.parametrize("name", ["num_frames", "num_clips", "num_crops"])
def test_counts_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        CentredSegmentClipSampler(**{"num_frames": 8, name: 0})
