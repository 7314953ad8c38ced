import pytest
import torch

from pks4_lightning.data.clips.pool import ClipPool, PooledFrames
from pks4_lightning.data.video.video import Video


def test_a_pool_spreads_its_frames_over_the_video(tmp_path, write_video, read_numbers):
    video = Video(write_video(tmp_path / "a.mp4", 41))
    pooled = PooledFrames(video, 5)
    assert read_numbers(pooled.frames([0, 1, 2, 3, 4])) == [0, 10, 20, 30, 40]
    assert read_numbers(pooled.frames([4, 1])) == [40, 10]
    assert pooled.times.tolist() == [video.times[number] for number in (0, 10, 20, 30, 40)]
    # pytorchvideo's samplers return intervals in seconds
    assert pooled.frames_between(0.9, 2.1) == range(1, 3)
    with pytest.raises(IndexError, match="with 5 frames"):
        pooled.frames([5])


def test_a_short_video_shows_frames_again(tmp_path, write_video):
    video = Video(write_video(tmp_path / "a.mp4", 3))
    frames = PooledFrames(video, 6).frames(range(6))
    assert len(frames) == 6
    assert torch.equal(frames[0], video.frames([0])[0])
    assert torch.equal(frames[-1], video.frames([2])[0])


@pytest.mark.parametrize("name", ["num_frames", "num_views"])
def test_an_empty_pool_is_refused(name):
    with pytest.raises(ValueError, match=rf"data\.pool\.{name} is 0; it must be at least 1"):
        ClipPool(**{name: 0})
