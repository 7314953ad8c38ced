import threading

import av
import pytest

from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.timeline.pacing import as_live, at_rate, latest_at_rate
from pks4_lightning.timeline.sources import open_source
from tests.helpers.media import Clip, read_number, write_clip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A clip of 25 numbered frames in one second."""
    return str(write_clip(tmp_path_factory.mktemp("source") / "clip", Clip(".mp4", num_frames=25)))


def number_of(frame: av.VideoFrame) -> int:
    return read_number(frame.to_ndarray(format="rgb24"))


def test_a_file_gives_all_its_frames_with_their_times(path):
    with open_source(path) as source:
        assert not source.is_live
        timed = [(round(seconds, 3), number_of(frame)) for seconds, frame in source.frames]
    assert timed == [(round(n / 25, 3), n) for n in range(25)]


@pytest.mark.parametrize(
    ("rate", "numbers"),
    [(5.0, [0, 5, 10, 15, 20]), (25.0, list(range(25))), (1.0, [0]), (0.001, [0])],
)
def test_each_tick_within_the_video_gets_the_frame_on_screen(path, rate, numbers):
    with open_source(path) as source:
        ticks = list(at_rate(source.frames, rate))
    assert [number_of(tick.frame) for tick in ticks] == numbers
    assert [tick.time for tick in ticks] == pytest.approx([n / rate for n in range(len(numbers))])


def test_a_rate_above_the_files_shows_frames_again(path):
    with open_source(path) as source:
        ticks = list(at_rate(source.frames, 50.0))
    assert [number_of(tick.frame) for tick in ticks] == [n // 2 for n in range(50)]


def test_a_slow_listener_gets_the_newest_frames_and_the_number_of_dropped_ones(path):
    seconds = [0.0]  # shown by the clock
    due, kept = threading.Semaphore(1), threading.Semaphore(0)

    def frames(timed):
        for each in timed:
            due.acquire()
            yield each
            kept.release()  # the reader has the frame and asks for the next one

    with (
        open_source(path) as source,
        latest_at_rate(frames(source.frames), 25.0, clock=lambda: seconds[0]) as ticks,
    ):
        kept.acquire()
        seen = []
        for tick in ticks:
            seen.append((number_of(tick.frame), tick.time, tick.dropped))
            for _ in range(6 if len(seen) < 5 else 0):  # during the work, six frames arrive
                due.release()
                kept.acquire()
                seconds[0] += 1 / 25
    assert seen == [(n, pytest.approx(n / 25), 5 if n else 0) for n in (0, 6, 12, 18, 24)]


def test_a_file_played_live_gives_each_frame_when_a_camera_would(path):
    times, seconds = [], [100.0]

    def sleep(length):
        seconds[0] += length

    with open_source(path) as source:
        for number, _ in enumerate(as_live(source.frames, clock=lambda: seconds[0], sleep=sleep)):
            times.append(seconds[0] - 100)
            seconds[0] += 0.1 if number == 10 else 0.0  # work that lasts two and a half frames
    assert times[:11] == pytest.approx([n / 25 for n in range(11)])
    assert times[11:13] == pytest.approx([0.5, 0.5])
    assert times[13:] == pytest.approx([n / 25 for n in range(13, 25)])


def test_an_interrupted_source_raises_in_the_listener():
    def frames():
        yield 0.0, av.VideoFrame(16, 16)
        raise VideoDecodeError.of("camera", "it was interrupted")

    with (
        latest_at_rate(frames(), 100.0) as ticks,
        pytest.raises(VideoDecodeError, match="was interrupted"),
    ):
        list(ticks)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/nowhere/clip.mp4", "no such file"),
        ("9", "'/dev/video9': no such file"),
        ("gopher://host/x", "not among the supported schemes"),
        ("rtsp://127.0.0.1:9/x", "refused"),
    ],
)
def test_unusable_sources_are_reported_in_one_sentence_with_their_name(source, reason):
    with pytest.raises(VideoDecodeError, match=reason) as caught, open_source(source):
        pass
    assert source in str(caught.value)
    assert "\n" not in str(caught.value)
