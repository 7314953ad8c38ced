import numpy as np
import pytest

from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.data.video.span import Span, SpanOfVideo
from pks4_lightning.data.video.video import Video
from tests.helpers.media import Clip, read_number, write_clip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A video of 60 numbered frames at 25 frames per second (2.4 seconds)."""
    return write_clip(tmp_path_factory.mktemp("span") / "clip", Clip(".mp4", b_frames=2))


@pytest.mark.parametrize(
    ("span", "numbers"),
    [
        (Span(0.4, 1.2), range(10, 30)),
        (Span(0.41, 1.2), range(11, 30)),
        (Span(2.0, 3.0), range(50, 60)),  # clipped to the video's end
        (Span(1.01, 1.02), range(25, 26)),  # between two frames: the one on screen
        (Span(7, 9, "frames"), range(7, 9)),
        (Span(50, 80, "frames"), range(50, 60)),
        (Span(5.2, 5.8, "frames"), range(5, 6)),
    ],
)
def test_its_frames_are_those_of_the_span(path, span, numbers):
    part = SpanOfVideo(Video(path), span)
    assert part.num_frames == len(numbers)
    shown = part.frames(range(part.num_frames))
    assert [read_number(frame.numpy()) for frame in shown] == list(numbers)
    assert np.allclose(part.times, np.arange(len(numbers)) / 25)
    assert part.duration == pytest.approx(len(numbers) / 25)


@pytest.mark.parametrize("span", [Span(2.5, 3.0), Span(1.0, 3.5), Span(60, 61, "frames")])
def test_an_interval_outside_of_the_video_is_one_sentence(path, span):
    with pytest.raises(VideoDecodeError, match="annotated interval from") as caught:
        SpanOfVideo(Video(path), span)
    assert str(path) in str(caught.value)
    assert "lies outside the video, which has" in str(caught.value)


def test_the_span_of_a_video_that_ends_early_is_shortened(path):
    video = Video(path, num_frames=70)  # more than decoding gives
    part = SpanOfVideo(video, Span(50, 70, "frames"))
    with pytest.raises(FewerFramesError):
        part.frames([15])
    assert part.num_frames == 10
    assert read_number(part.frames([9])[0].numpy()) == 59


def test_a_span_follows_the_name_as_media_fragments_do(path):
    assert SpanOfVideo(Video(path), Span(0.5, 1)).name == f"{path}#t=0.5,1"
    assert str(Span(3, 9, "frames")) == "#frames=3,9"
    assert str(Span(12345.58, 12350.0)) == "#t=12345.58,12350"
