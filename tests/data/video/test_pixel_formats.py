"""Decoding of all pixel formats that occur in data sets, at any size and with any sound."""

import numpy as np
import pytest
import torch

from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.video import Video
from tests.helpers.media import Clip, decode_in_order, picture, read_number, write_clip

FORMATS = {
    "4:2:0": Clip(".mp4", 9),
    "4:2:0, full range": Clip(".mp4", 9, pix_fmt="yuvj420p", full_range=True),
    "4:2:2": Clip(".mkv", 9, pix_fmt="yuv422p"),
    "4:4:4": Clip(".mp4", 9, pix_fmt="yuv444p"),
    "10 bits": Clip(".mkv", 9, pix_fmt="yuv420p10le"),
    "4:4:4, VP9": Clip(".webm", 9, pix_fmt="yuv444p", options={"profile": "1"}),
    "gray": Clip(".mp4", 9, pix_fmt="gray", full_range=True),
    "odd": Clip(".webm", 9, height=65, width=97),
    "odd, 4:4:4": Clip(".mp4", 9, height=63, width=95, pix_fmt="yuv444p"),
    "wide": Clip(".mp4", 9, height=64, width=400),
    "small": Clip(".mp4", 9, height=24, width=32),
}


def luma(pixels):
    return pixels.astype(float) @ (0.299, 0.587, 0.114)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("scaled", [False, True])
def test_decoded_frames_look_like_the_written_ones(tmp_path, name, scaled):
    clip = FORMATS[name]
    size = (2 * clip.height + 1, 2 * clip.width - 1) if scaled else (clip.height, clip.width)
    frames = Video(write_clip(tmp_path / "clip", clip)).frames([0, 4, 8], size if scaled else None)
    assert frames.shape == (3, *size, 3)
    for number, frame in zip((0, 4, 8), frames.numpy(), strict=True):
        assert read_number(frame) == number
        written = torch.from_numpy(luma(picture(number, clip.height, clip.width)))[None, None]
        if scaled:
            written = torch.nn.functional.interpolate(written, size, mode="bilinear")
        error = luma(frame) - written[0, 0].numpy()
        assert abs(error.mean()) < 2
        # scaling blurs the edges between the bands, compression blurs the pattern
        assert np.abs(error).mean() <= 6


@pytest.mark.parametrize("name", ["4:2:0", "odd", "4:4:4, VP9"])
@pytest.mark.parametrize("size", [(80, 120), (97, 133)])
def test_scaled_brightness_is_that_of_the_definition(tmp_path, name, size):
    video = Video(write_clip(tmp_path / "clip", FORMATS[name]))
    _, frame = next(video._decoder.needed(video._places, [3]))
    plane = frame.planes[0]
    coded = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    exact = (torch.tensor(coded[:, : frame.width]).double() - 16) * 255 / 219
    exact = torch.nn.functional.interpolate(exact[None, None], size, mode="bilinear")[0, 0]
    error = luma(video.frames([3], size)[0].numpy()) - exact.numpy()
    assert abs(error.mean()) <= 0.1
    assert np.abs(error).max() <= 2


@pytest.mark.parametrize("seconds", [0.2, 1.0, 4.0])
def test_sound_shorter_or_longer_changes_nothing(tmp_path, seconds):
    silent = write_clip(tmp_path / "silent", Clip(".mp4", 25))
    loud = write_clip(tmp_path / "loud", Clip(".mp4", 25, sound=seconds))
    video = Video(loud)
    assert video.num_frames == 25
    assert video.duration == Video(silent).duration
    np.testing.assert_array_equal(video.frames(range(25)), np.stack(decode_in_order(silent)))


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".avi"])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 7, 15, 16, 17])
def test_short_files_have_all_their_frames(tmp_path, suffix, num_frames):
    video = Video(write_clip(tmp_path / "clip", Clip(suffix, num_frames, b_frames=0)))
    assert video.num_frames == num_frames
    numbers = [read_number(frame) for frame in video.frames(range(num_frames)).numpy()]
    assert numbers == list(range(num_frames))


def cut(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    "clip",
    [
        Clip(".webm"),
        Clip(".mkv", b_frames=2),
        Clip(".mp4", file_options={"movflags": "+faststart"}),
    ],
    ids=["webm", "mkv", "mp4"],
)
def test_a_file_whose_end_is_missing_is_named(tmp_path, clip, share):
    path = cut(write_clip(tmp_path / "clip", clip), share)
    with pytest.raises(VideoDecodeError, match="missing"):
        Video(path)
    assert 0 < Video(path, strict=False).num_frames < 60


def test_known_frame_counts_are_believed_where_packets_agree(tmp_path):
    path = write_clip(tmp_path / "clip", Clip(".mp4", 30))
    assert Video(path, num_frames=30).num_frames == 30
    fewer = Video(path, num_frames=28)
    assert fewer.num_frames == 28
    assert read_number(fewer.frames([27])[0].numpy()) == 27
