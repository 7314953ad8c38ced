from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from pks4_lightning.data.annotations.prediction import list_for_prediction
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.frame_folder import FrameFolder, check_frame_template
from tests.helpers.media import picture

CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png"}


def write_picture(path, colour, *, height=24, width=36, pix_fmt="yuvj444p"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.broadcast_to(np.array(colour, dtype=np.uint8), (height, width, 3))
    codec = av.CodecContext.create(CODECS[path.suffix], "w")
    codec.width, codec.height = width, height
    codec.pix_fmt = "rgb24" if path.suffix == ".png" else pix_fmt
    codec.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    packets = [*codec.encode(frame.reformat(format=codec.pix_fmt)), *codec.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def shade(number):
    return (20 * number + 10, 250 - 20 * number, 60)


def fill(folder, template, first, count):
    for number in range(count):
        write_picture(folder / template.format(first + number), shade(number))
    return folder


@pytest.mark.parametrize("first", [0, 1, 37])
@pytest.mark.parametrize("template", ["{:05d}.jpg", "img_{:05d}.jpg", "frame{}.png", "{:06d}.jpeg"])
def test_frames_are_in_the_order_of_their_numbers(tmp_path, template, first):
    video = FrameFolder(fill(tmp_path, template, first, 12))
    assert video.num_frames == 12
    frames = video.frames([11, 0, 5, 5])
    assert frames.shape == (4, 24, 36, 3)
    assert frames.dtype == torch.uint8
    means = frames.float().mean(dim=(1, 2))
    expected = torch.tensor([shade(number) for number in (11, 0, 5, 5)]).float()
    assert (means - expected).abs().max() < 3, "full range, red before blue"


def test_frames_are_scaled_as_a_videos_are(tmp_path):
    video = FrameFolder(fill(tmp_path, "{:05d}.jpg", 1, 1))
    assert video.frames([0], 12).shape == (1, 12, 18, 3)
    assert video.frames([0], (10, 20)).shape == (1, 10, 20, 3)


@pytest.mark.parametrize("size", [(64, 96), (128, 170)])
def test_scaled_brightness_is_that_of_the_definition(tmp_path, size):
    file = tmp_path / "1.jpg"
    write_picture(file, picture(3, 96, 144), height=96, width=144, pix_fmt="yuvj420p")
    decoder = av.CodecContext.create("mjpeg", "r")
    (coded,) = [*decoder.decode(av.Packet(file.read_bytes())), *decoder.decode(None)]
    plane = np.frombuffer(memoryview(coded.planes[0]), np.uint8).reshape(96, -1)[:, :144]
    exact = torch.nn.functional.interpolate(
        torch.tensor(plane).double()[None, None], size, mode="bilinear", antialias=True
    )[0, 0]
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    error = FrameFolder(tmp_path).frames([0], size)[0].double() @ weights - exact
    assert abs(error.mean()) <= 0.1
    assert error.abs().max() <= 3


def test_a_gap_is_refused(tmp_path):
    fill(tmp_path, "{:05d}.jpg", 1, 5)
    (tmp_path / "00003.jpg").unlink()
    with pytest.raises(VideoDecodeError, match=r"frame 3 is missing .* before '00004.jpg'"):
        FrameFolder(tmp_path)


def test_a_template_chooses_among_series(tmp_path):
    fill(tmp_path, "img_{:05d}.jpg", 1, 4)
    fill(tmp_path, "flow_x_{:05d}.jpg", 1, 3)
    with pytest.raises(VideoDecodeError, match=r"contains 'flow_x_….jpg' and 'img_….jpg'; choose"):
        FrameFolder(tmp_path)
    assert FrameFolder(tmp_path, template="img_{:05d}.jpg").num_frames == 4
    with pytest.raises(VideoDecodeError, match=r"no pictures such as 'flow_y_\{:05d\}.jpg'"):
        FrameFolder(tmp_path, template="flow_y_{:05d}.jpg")


def test_a_folder_must_contain_the_promised_frames(tmp_path):
    fill(tmp_path, "{:05d}.jpg", 1, 4)
    assert FrameFolder(tmp_path, num_frames=3).num_frames == 3
    with pytest.raises(VideoDecodeError, match="holds 4 of the 5 frames that its list gives"):
        FrameFolder(tmp_path, num_frames=5)


@pytest.mark.parametrize("template", ["00001.jpg", "{:05d}.mp4", "a/{:05d}.jpg", "{}{}.jpg", ""])
def test_a_template_names_one_image_by_its_number(template):
    with pytest.raises(ValueError, match=r"data.frame_template is .* one field for its number"):
        check_frame_template(template)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], r"'00002.jpg' is cut short"),
        (lambda _: b"", r"'00002.jpg' is empty"),
        (lambda _: b"ffconcat version 1.0\nfile 'secret.mp4'\n\xff\xd9", r"'00002.jpg' cannot be"),
    ],
)
def test_a_damaged_image_is_named(tmp_path, damage, message):
    fill(tmp_path, "{:05d}.jpg", 1, 3)
    file = tmp_path / "00002.jpg"
    file.write_bytes(damage(file.read_bytes()))
    video = FrameFolder(tmp_path)
    assert len(video.frames([0, 2])) == 2
    with pytest.raises(VideoDecodeError, match=message):
        video.frames([1])


def test_a_bomb_is_not_decoded(tmp_path):
    write_picture(tmp_path / "1.png", (0, 0, 0), height=4100, width=4100)
    assert (tmp_path / "1.png").stat().st_size < 300_000
    with pytest.raises(VideoDecodeError, match=r"'1.png' cannot be decoded"):
        FrameFolder(tmp_path).frames([0])


def test_images_of_several_sizes_are_refused(tmp_path):
    write_picture(tmp_path / "1.png", (9, 9, 9))
    write_picture(tmp_path / "2.png", (9, 9, 9), width=48)
    with pytest.raises(VideoDecodeError, match="not all of the same size"):
        FrameFolder(tmp_path).frames([0, 1])


def test_numbers_out_of_range_are_errors(tmp_path):
    video = FrameFolder(fill(tmp_path, "{:05d}.jpg", 1, 2))
    for indices in ([], [2], [-1]):
        with pytest.raises(IndexError):
            video.frames(indices)


def test_an_empty_or_absent_folder_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(VideoDecodeError, match="no numbered pictures"):
        FrameFolder(tmp_path)
    with pytest.raises(VideoDecodeError, match="cannot be listed"):
        FrameFolder(tmp_path / "none")


def test_spans_of_time_hold_25_frames_a_second(tmp_path):
    video = FrameFolder(fill(tmp_path, "{:05d}.jpg", 0, 12))
    assert video.duration == pytest.approx(0.48)
    assert video.frames_between(0, 0.2) == range(5)
    assert video.frames_between(0.2, 9) == range(5, 12)
    assert video.frames_between(0.041, 0.042) == range(1, 2)
    assert video.get_clip(0, 0.08)["video"].shape == (3, 2, 24, 36)


def open_clips(videos):
    return VideoDataset(
        videos, clip_sampler=CentredSegmentClipSampler(3), num_frames=3, frame_size=8, resize=12
    )


@pytest.mark.parametrize("listed", [(), (12, 9)])
def test_a_data_set_reads_folders_of_images(tmp_path, listed):
    for name in "ab":
        fill(tmp_path / name, "img_{:05d}.jpg", 1, 12)
        (tmp_path / name / "flow_00001.jpg").touch()
    videos = VideoList(
        "list", str(tmp_path), ("a", "b"), (3, 4), listed_frames=listed,
        frame_template="img_{:05d}.jpg",
    )  # fmt: skip
    dataset = open_clips(videos)
    chosen = {index: dataset[index]["video"][0, 0].float().mean(dim=(1, 2)) for index in (0, 1)}
    assert chosen[0].tolist() == pytest.approx([shade(number)[0] for number in (2, 6, 10)], abs=3)
    last = 7 if listed else 10
    assert chosen[1][-1].item() == pytest.approx(shade(last)[0], abs=3)


def test_a_folder_that_lacks_frames_fails_by_name(tmp_path):
    fill(tmp_path / "a", "{:05d}.jpg", 1, 4)
    videos = VideoList("list", str(tmp_path), ("a",), (0,), listed_frames=(5,))
    batch = open_clips(videos)[0]
    assert not batch["valid"].any()
    assert "4 of the 5 frames that its list gives" in batch["failure"][0]


def test_prediction_takes_folders_of_images(tmp_path):
    fill(tmp_path / "in/a", "{:05d}.jpg", 1, 3)
    fill(tmp_path / "in/b", "{:05d}.jpg", 1, 3)
    assert list_for_prediction(str(tmp_path / "in")).paths == ("a", "b")
    one = list_for_prediction(str(tmp_path / "in/a"))
    assert one.path(0) == str(tmp_path / "in/a")
