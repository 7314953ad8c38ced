import pytest

from pks4_lightning.data.clips.fixed_rate import RateClipSampler
from pks4_lightning.data.clips.sampling import of_length, plan_views
from pks4_lightning.data.video.video import Video
from tests.helpers.media import Clip, write_clip


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video of 60 frames at 25 frames per second."""
    return Video(write_clip(tmp_path_factory.mktemp("rate") / "clip", Clip(".mp4")))


def frames(sampler, video, *, seed=0):
    views = plan_views(sampler, video, num_frames=sampler.num_frames, draw_seed=seed)
    return [view.frames for view in views]


def test_frames_are_spaced_by_the_rate_and_centred(video):
    # the clip spans 1.2 of the video's 2.36 seconds
    assert frames(RateClipSampler(7, rate=5.0), video) == [(14, 19, 24, 29, 34, 39, 44)]


def test_several_clips_share_out_the_time(video):
    firsts = [clip[0] for clip in frames(RateClipSampler(7, rate=5.0, num_clips=3), video)]
    assert firsts == [7, 14, 21]


def test_training_clips_begin_anywhere_and_keep_the_interval(video):
    sampler = RateClipSampler(7, rate=5.0, begins_anywhere=True)
    drawn = [frames(sampler, video, seed=seed)[0] for seed in range(200)]
    assert drawn == [frames(sampler, video, seed=seed)[0] for seed in range(200)]
    assert {clip[0] for clip in drawn} >= set(range(1, 28))
    assert max(clip[-1] for clip in drawn) <= 59
    assert all(clip[-1] - clip[0] in (29, 30, 31) for clip in drawn)


def test_a_short_video_repeats_its_last_frame(video):
    (clip,) = frames(RateClipSampler(8, rate=2.5, begins_anywhere=True), video)
    assert clip == (0, 10, 20, 30, 40, 50, 59, 59)


def test_another_length_keeps_the_rate(video):
    assert frames(of_length(RateClipSampler(7, rate=5.0), 2), video) == [(27, 32)]


def test_an_uneven_video_is_followed_by_the_clock(tmp_path):
    stamps = [0, 4, 7, 30, 31, 60, 64, 68, 90, 100]
    uneven = Video(write_clip(tmp_path / "uneven", Clip(".mkv", num_frames=10, stamps=stamps)))
    assert frames(RateClipSampler(5, rate=4.0), uneven) == [(0, 2, 4, 7, 9)]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_invalid_rates_are_refused(rate):
    with pytest.raises(ValueError, match="frame_rate is"):
        RateClipSampler(8, rate=rate)
