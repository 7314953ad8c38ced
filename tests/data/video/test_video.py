import io
import pickle
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.data.video.frame_source import resized
from pks4_lightning.data.video.pytorchvideo_compat import Video as VideoInterface
from pks4_lightning.data.video.video import Video


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm"])
def test_frames_are_those_asked_for(tmp_path, write_video, read_numbers, suffix):
    video = Video(write_video(tmp_path / f"clip{suffix}", 23))
    assert video.num_frames == 23
    for wanted in ([0, 1, 2], [22], [3, 3, 11, 22], [17, 4]):
        assert read_numbers(video.frames(wanted)) == wanted


@pytest.mark.parametrize("gop", ["1", "12", "250"])
@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_numbers_count_in_presentation_order(tmp_path, write_video, read_numbers, gop, b_frames):
    video = Video(write_video(tmp_path / "clip.mp4", 30, g=gop, bf=b_frames))
    assert read_numbers(video.frames(range(30))) == list(range(30))


@pytest.mark.parametrize("num_frames", [1, 2, 3, 7])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_short_videos_have_all_their_frames(
    tmp_path, write_video, read_numbers, num_frames, suffix
):
    video = Video(write_video(tmp_path / f"clip{suffix}", num_frames))
    assert video.num_frames == num_frames
    assert read_numbers(video.frames(range(num_frames))) == list(range(num_frames))


def test_webm_headers_do_not_say_how_many_frames(tmp_path, write_video):
    path = write_video(tmp_path / "clip.webm", 9)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    assert Video(path).num_frames == 9


def test_variable_frame_rate_keeps_every_frame(tmp_path, write_video, read_numbers):
    stamps = [0, 1, 2, 10, 11, 30, 31, 32]
    video = Video(write_video(tmp_path / "clip.mkv", 8, stamps=stamps))
    assert read_numbers(video.frames(range(8))) == list(range(8))
    assert video.frames_between(0.0, 0.3) == range(3)
    assert video.frames_between(1.0, 3.05) == range(3, 6)
    assert video.duration == pytest.approx(3.2, abs=0.11)


def test_time_begins_with_the_first_frame(tmp_path, write_video):
    video = Video(write_video(tmp_path / "clip.mkv", 10, stamps=list(range(50, 60))))
    assert video.duration == pytest.approx(1.0, abs=0.01)
    assert video.frames_between(0.0, 0.2) == range(2)


def test_frames_that_an_edit_list_cuts_off_do_not_count(tmp_path, write_video, read_numbers):
    path = write_video(tmp_path / "clip.mp4", 20, bf="0")
    with av.open(str(path)) as container:
        ticks_per_frame = int(1 / container.streams.video[0].time_base / 10)
    data = bytearray(path.read_bytes())
    media_time = data.index(b"elst") + 16
    data[media_time : media_time + 4] = struct.pack(">i", 5 * ticks_per_frame)
    path.write_bytes(data)
    video = Video(path)
    assert video.num_frames == 15
    assert read_numbers(video.frames([0, 14])) == [5, 19]


def test_a_span_without_a_frame_gives_the_one_on_screen(tmp_path, write_video):
    video = Video(write_video(tmp_path / "clip.mp4", 10))
    assert video.frames_between(0.31, 0.39) == range(3, 4)
    assert video.frames_between(5.0, 6.0) == range(9, 10)


def test_implements_the_interface(tmp_path, write_video, read_numbers):
    path = write_video(tmp_path / "clip.mp4", 12)
    video = Video(io.BytesIO(path.read_bytes()), "clip", decode_audio=False)
    assert isinstance(video, VideoInterface)
    clip = video.get_clip(0.2, 0.7)
    assert clip["audio"] is None
    assert clip["video"].shape == (3, 5, 64, 96)
    assert clip["video"].dtype == torch.float32
    assert read_numbers(clip["video"]) == [2, 3, 4, 5, 6]


def test_agrees_with_ffmpeg_on_the_pixels(tmp_path, write_video):
    path = write_video(tmp_path / "clip.mp4", 5)
    with av.open(str(path)) as container:
        theirs = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    np.testing.assert_array_equal(Video(path).frames(range(5)).numpy(), theirs)


@pytest.mark.parametrize(
    ("resize", "size"), [(32, (32, 48)), ((40, 56), (40, 56)), (None, (64, 96))]
)
def test_scales_while_converting(tmp_path, write_video, read_numbers, resize, size):
    frames = Video(write_video(tmp_path / "clip.mp4", 6)).frames([2, 5], resize)
    assert frames.shape == (2, *size, 3)
    assert read_numbers(frames) == [2, 5]


def test_the_shorter_side_gets_the_length_asked_for():
    assert resized(240, 427, 256) == (256, 455)
    assert resized(427, 240, 256) == (455, 256)
    assert resized(240, 427, (256, 320)) == (256, 320)


MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def turn(path, degrees):
    """Patch the display matrix of an mp4 file, so that players rotate the frames clockwise."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    a, b, c, d = MATRICES[degrees]
    one = 1 << 16
    values = (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack(">9i", *values)
    turned = path.with_name(f"turned{degrees}.mp4")
    turned.write_bytes(data)
    return turned


@pytest.mark.parametrize("degrees", sorted(MATRICES))
def test_rotates_frames_like_players(tmp_path, write_video, degrees):
    path = write_video(tmp_path / "clip.mp4", 4)
    upright = Video(path).frames([1, 3]).numpy()
    turned = turn(path, degrees)
    np.testing.assert_array_equal(
        Video(turned).frames([1, 3]).numpy(), np.rot90(upright, -degrees // 90, axes=(1, 2))
    )
    unturned = Video(turned, apply_rotation=False).frames([1, 3]).numpy()
    np.testing.assert_array_equal(unturned, upright)


def test_scales_after_turning(tmp_path, write_video):
    turned = turn(write_video(tmp_path / "clip.mp4", 2), 90)
    assert Video(turned).frames([0], (40, 20)).shape == (1, 40, 20, 3)


def with_empty_packets(path, num_empty):
    """Append packets without a frame (MPEG-4's "not coded"), as in AVI files."""
    longer = path.with_name("longer.avi")
    with av.open(str(path)) as source, av.open(str(longer), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        for _ in range(num_empty):
            packet = av.Packet(bytes.fromhex("000001b6518000"))
            packet.pts = packet.dts = packets[-1].dts + 1
            packet.time_base = stream.time_base
            packets.append(packet)
        for packet in packets:
            packet.stream = copy
            target.mux(packet)
    return longer


def test_a_video_that_ends_early_corrects_its_frame_count(tmp_path, write_video, read_numbers):
    video = Video(with_empty_packets(write_video(tmp_path / "clip.avi", 20), 10))
    assert video.num_frames == 30
    with pytest.raises(FewerFramesError, match=r"ends after 2\d frames"):
        video.frames([0, 29])
    assert video.num_frames < 30
    assert video.duration == pytest.approx(video.num_frames / 10)
    assert read_numbers(video.frames([0, 19])) == [0, 19]


def test_a_clip_at_an_early_end_holds_the_frames_that_exist(tmp_path, write_video, read_numbers):
    video = Video(with_empty_packets(write_video(tmp_path / "clip.avi", 20), 10))
    numbers = read_numbers(video.get_clip(1.5, 3.0)["video"])
    assert numbers[:5] == [15, 16, 17, 18, 19]
    assert len(numbers) == video.num_frames - 15 < 15


def test_damage_within_a_video_is_named(tmp_path, write_video):
    path = write_video(tmp_path / "clip.mp4", 30, g="250", bf="0")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for packet in packets[20:]:
        data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    with pytest.raises(VideoDecodeError, match=r"clip.mp4': invalid data"):
        Video(path).frames([0, 29])


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "cut short"])
def test_names_a_video_that_cannot_be_decoded(tmp_path, write_video, kind):
    path = tmp_path / "broken.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video")
    elif kind == "cut short":
        whole = write_video(path, 8).read_bytes()
        path.write_bytes(whole[: len(whole) // 3])
    reason = "there is no such file" if kind == "absent" else "invalid data"
    with pytest.raises(VideoDecodeError, match=f"'{path}': {reason}"):
        Video(path).frames([0])


def test_a_list_of_other_files_is_not_followed(tmp_path, write_video):
    write_video(tmp_path / "secret.mp4", 3)
    path = tmp_path / "clip.mp4"
    path.write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(VideoDecodeError, match=r"clip.mp4"):
        Video(path)


def test_codecs_that_no_data_set_uses_are_refused(tmp_path):
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("magicyuv", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "gbrp"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match="its codec magicyuv"):
        Video(path)


def test_frames_that_are_too_large_are_refused(tmp_path, write_video):
    path = write_video(tmp_path / "clip.webm", 1, height=2400, width=4200)
    with pytest.raises(VideoDecodeError, match="4200 × 2400"):
        Video(path)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match="no video stream"):
        Video(path)


def test_the_error_keeps_its_message_outside_the_worker():
    error = VideoDecodeError("Cannot decode video 'a.mp4': it is gone.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    wrapped = "Caught VideoDecodeError in DataLoader worker process 0.\nOriginal Traceback:\n  x\n"
    wrapped += f"pks4_lightning.data.video.errors.VideoDecodeError: {error}\n"
    assert str(VideoDecodeError(wrapped)) == str(error)


def num_threads():
    return len(list(Path("/proc/self/task").iterdir()))


def test_decoding_starts_no_threads(tmp_path, write_video):
    path = write_video(tmp_path / "clip.mp4", 12, height=256, width=320)
    before = num_threads()
    counts = [num_threads() for _ in Video(path)._decoder.everything()]
    video = Video(path)
    assert video.frames([0, 11], 128).shape == (2, 128, 160, 3)
    assert video.frames([0, 11]).shape == (2, 256, 320, 3)
    assert {*counts, num_threads()} == {before}


@pytest.mark.parametrize("indices", [[], [-1], [5]])
def test_frames_out_of_range_are_an_error(tmp_path, write_video, indices):
    video = Video(write_video(tmp_path / "clip.mp4", 5))
    with pytest.raises(IndexError, match="5 frames"):
        video.frames(indices)
