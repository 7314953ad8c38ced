import numpy as np
import pytest

from pks4_lightning.data.video.video import Video
from pks4_lightning.timeline.windows import num_ticks, plan_ticks, plan_windows, window_clips
from tests.helpers.media import Clip, read_number, write_clip


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A clip of 60 numbered frames at 25 frames per second (2.4 seconds), with B-frames."""
    return write_clip(tmp_path_factory.mktemp("windows") / "clip", Clip(".mp4", b_frames=2))


def test_windows_cover_the_video_and_the_last_one_ends_with_it(video):
    windows = plan_windows(Video(video), num_frames=4, window=1.0, stride=0.5)
    assert [(w.start, round(w.end, 6)) for w in windows] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.4)]


def test_a_window_takes_the_middles_of_equal_parts_of_its_frames(video):
    windows = plan_windows(Video(video), num_frames=5, window=1.0, stride=1.0)
    assert windows[0].frames == (2, 7, 12, 17, 22)
    assert windows[1].frames == (27, 32, 37, 42, 47)
    assert windows[2].frames == (51, 53, 55, 57, 59)


def test_a_video_shorter_than_a_window_is_one(video):
    (only,) = plan_windows(Video(video), num_frames=8, window=100.0, stride=1.0)
    assert (only.start, round(only.end, 6)) == (0.0, 2.4)


def test_a_stride_longer_than_the_window_leaves_gaps(video):
    windows = plan_windows(Video(video), num_frames=2, window=0.2, stride=1.0)
    assert [round(w.start, 6) for w in windows] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(("window", "stride"), [(1.0, 0.3), (0.4, 0.4), (0.2, 1.0), (9.0, 1.0)])
@pytest.mark.parametrize("num_frames", [1, 5, 40])
def test_decoding_once_gives_every_window_its_frames(video, window, stride, num_frames):
    windows = plan_windows(Video(video), num_frames=num_frames, window=window, stride=stride)
    seen = list(window_clips(Video(video), windows, 32))
    assert [found for found, _ in seen] == windows
    for found, clip in seen:
        assert [read_number(frame.numpy()) for frame in clip] == list(found.frames)


def test_frames_are_those_that_are_asked_for_by_number(video):
    windows = plan_windows(Video(video), num_frames=7, window=0.8, stride=0.5)
    for found, clip in window_clips(Video(video), windows, 32):
        assert np.array_equal(clip.numpy(), Video(video).frames(found.frames, 32).numpy())


@pytest.mark.parametrize(
    ("window", "stride", "reason"),
    [(0.0, 1.0, "^window is 0"), (1.0, -1.0, "^stride is -1"), (0.01, 1.0, "at least one frame")],
)
def test_invalid_windows_are_refused_with_their_value(video, window, stride, reason):
    with pytest.raises(ValueError, match=reason):
        plan_windows(Video(video), num_frames=2, window=window, stride=stride)


def test_pauses_between_bursts_of_frames_make_no_frame_long(tmp_path):
    stamps = [*range(0, 20, 4), *range(360_000, 360_020, 4)]
    bursts = Video(write_clip(tmp_path / "bursts", Clip(".mkv", num_frames=10, stamps=stamps)))
    windows = plan_windows(bursts, num_frames=2, window=1.0, stride=1.0)
    assert (windows[0].frames, windows[-1].frames) == ((1, 3), (6, 8))
    with pytest.raises(ValueError, match=r"lasts 0\.04 s: a window"):
        plan_windows(bursts, num_frames=2, window=0.01, stride=1.0)


def test_ticks_follow_an_even_clock_to_the_end_of_the_video(video):
    windows = plan_ticks(Video(video), num_frames=4, window=1.0)  # a tick is 6.25 frames
    assert [w.frames for w in windows] == [(3, 9, 15, 21), (28, 34, 40, 46), (53, 59, 59, 59)]
    assert num_ticks(Video(video), 0.25) == 10  # the last one begins at 2.25 of 2.4 seconds
    with pytest.raises(ValueError, match="at least one frame"):
        plan_ticks(Video(video), num_frames=4, window=0.01)


def test_ticks_of_an_uneven_video_show_the_current_frame(tmp_path):
    stamps = [0, 4, 7, 30, 31, 60, 64, 68, 90, 100]
    uneven = write_clip(tmp_path / "uneven", Clip(".mkv", num_frames=10, stamps=stamps))
    windows = plan_ticks(Video(uneven), num_frames=2, window=0.4)
    middles = [20 * i + 10 for i in range(2 * len(windows))]
    shown = [sum(stamp <= middle for stamp in stamps) - 1 for middle in middles]
    assert [number for w in windows for number in w.frames] == shown
