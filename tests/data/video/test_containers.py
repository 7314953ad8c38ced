"""Files from cameras, editors and downloads: whole ones are read, damaged ones are named."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from pks4_lightning.data.inspection.probe import probe_file
from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.data.video.span import Span, SpanOfVideo
from pks4_lightning.data.video.video import Video
from pks4_lightning.timeline.windows import plan_windows
from tests.helpers.agreement import disagreements
from tests.helpers.containers import Recipe, jpeg, write_file
from tests.helpers.media import Clip, cut_out, picture, read_number, write_clip


def numbers(path):
    video = Video(path)
    return [read_number(frame) for frame in video.frames(range(video.num_frames)).numpy()]


def index(path):
    record = probe_file(path.parent, path.name)
    return record.status, record.num_frames


CUT_SHORT = {
    ".mp4": Recipe(".mp4", "libx264", b_frames=2, faststart=True),
    ".mov": Recipe(".mov", "mjpeg", pix_fmt="yuvj420p", faststart=True),
    ".3gp": Recipe(".3gp", "h263", height=96, width=128, faststart=True),
    ".avi": Recipe(".avi", "mpeg4"),
    ".mkv": Recipe(".mkv", "mpeg4"),
    ".webm": Recipe(".webm", "libvpx-vp9", tracks=("sound", "video")),
}


@pytest.mark.parametrize("suffix", CUT_SHORT)
def test_a_missing_end_is_named_by_reader_and_index(tmp_path, suffix):
    path = write_file(tmp_path / "clip", CUT_SHORT[suffix])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.7 * len(whole))])
    with pytest.raises(VideoDecodeError, match="its end is missing") as caught:
        Video(path)
    assert caught.value.fault == "truncated"
    assert index(path) == ("truncated", 0)


def shorten_edit(path, milliseconds):
    """Shorten an MP4 file's edit list, like an editor that trims without re-encoding."""
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    data[place : place + 4] = struct.pack(">I", milliseconds)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("gop", [4, 250])
def test_an_end_that_an_edit_list_cuts_off_is_not_missing(tmp_path, gop):
    recipe = Recipe(".mp4", "libx264", num_frames=50, gop=gop, b_frames=2)
    path = shorten_edit(write_file(tmp_path / "clip", recipe), 480)
    assert numbers(path) == list(range(12))
    assert index(path) == ("ok", 12)


@pytest.mark.parametrize("last_gap", [1, 9])
def test_avi_chunks_without_a_frame_are_neither_frames_nor_damage(tmp_path, last_gap):
    stamps = (0, 1, 4, 5, 6, 15, 16, 17, 17 + last_gap)
    path = write_file(tmp_path / "clip", Recipe(".avi", "mpeg4", 9, stamps=stamps))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 9
    assert numbers(path) == list(range(9))
    assert index(path) == ("ok", 9)


def test_frames_of_avi_are_in_presentation_order(tmp_path):
    path = write_clip(tmp_path / "clip", Clip(".avi", 24, codec="libx264", b_frames=3))
    assert numbers(path) == list(range(24))
    assert [read_number(f) for f in Video(path).frames([17, 2, 3]).numpy()] == [17, 2, 3]


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(".ts", "libx264", 25, b_frames=2, joined=True),
        Recipe(".ts", "libx265", 25, b_frames=2, joined=True),
        Recipe(".ts", "mpeg4", 25, joined=True, start=2500),
        Recipe(".mpg", "mpeg1video", 25, joined=True),
    ],
    ids=lambda recipe: recipe.codec,
)
def test_joined_recordings_follow_one_another(tmp_path, recipe):
    path = write_file(tmp_path / "clip", recipe)
    video = Video(path)
    assert video.times == pytest.approx(np.arange(50) / 25, abs=1e-9)
    assert video.duration == pytest.approx(2.0)
    assert probe_file(path.parent, path.name).duration == pytest.approx(2.0)
    assert SpanOfVideo(video, Span(1.2, 1.8)).times == pytest.approx(np.arange(15) / 25)
    assert [frame.start for frame in plan_windows(video, num_frames=2, window=1, stride=1)] == [
        0,
        1,
    ]
    assert numbers(path) == 2 * list(range(25))


def test_a_recording_whose_clock_goes_on_keeps_its_pause(tmp_path):
    early, late = (
        write_file(tmp_path / str(start), Recipe(".ts", "libx264", 10, b_frames=2, start=start))
        for start in (25, 125)
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(early.read_bytes() + late.read_bytes())
    expected = np.concatenate([np.arange(10), np.arange(100, 110)]) / 25
    assert Video(joined).times == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".flv"])
def test_decoding_times_instead_of_presentation_times_are_handled(tmp_path, suffix):
    path = write_file(tmp_path / "clip", Recipe(suffix, "libx264", 30, gop=10, b_frames=2))
    wrong = path.with_stem("wrong")
    with av.open(str(path)) as source, av.open(str(wrong), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream, packet.pts = copy, packet.dts
                out.mux(packet)
    assert disagreements(wrong) == []
    shown = numbers(wrong)
    assert shown == sorted(shown)


def packed(path):
    """Pack each B-frame with the P-frame that it needs, followed by a placeholder, like XviD."""
    target = path.with_name("packed.avi")
    with av.open(str(path)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream, opaque=True)
        stored = [bytes(packet) for packet in source.demux(stream) if packet.size]
        stored[0] = stored[0].replace(b"\0\0\1\xb3", b"\0\0\1\xb2DivX503b1393p\0\0\0\1\xb3", 1)
        types = [data[data.index(b"\0\0\1\xb6") + 4] >> 6 for data in stored]
        chunks = []
        for data, kind in zip(stored, types, strict=True):
            if kind == 2:
                chunks[-1] += data
                chunks.append(bytes.fromhex("000001b65f"))
            else:
                chunks.append(data)
        for number, chunk in enumerate(chunks):
            packet = av.Packet(chunk)
            packet.stream, packet.time_base = copy, Fraction(1, 25)
            packet.pts = packet.dts = number
            out.mux(packet)
    return target


def test_packed_b_frames_are_unpacked(tmp_path):
    path = packed(write_clip(tmp_path / "clip", Clip(".avi", 21, b_frames=1)))
    assert numbers(path) == list(range(21))
    assert index(path) == ("ok", 21)
    assert disagreements(path) == []


SIZES = ((48, 64), (48, 96))


def write_two_sizes(path, codec, options):
    """Write ten frames of one size and ten of another into one stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *SIZES[0], "yuv420p"
        for part, (height, width) in enumerate(SIZES):
            encoder = av.CodecContext.create(codec, "w")
            encoder.height, encoder.width, encoder.pix_fmt = height, width, "yuv420p"
            encoder.time_base, encoder.options = Fraction(1, 25), options
            encoder.bit_rate, encoder.thread_count = 400_000, 1
            for number in range(10 * part, 10 * part + 10):
                pixels = picture(number, height, width)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                _mux(container, stream, encoder.encode(frame))
            _mux(container, stream, encoder.encode(None))
    return path


def _mux(container, stream, packets):
    for packet in packets:
        packet.stream, packet.time_base = stream, Fraction(1, 25)
        container.mux(packet)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("clip.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
        ("clip.mkv", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("clip.ts", "libx264", {"preset": "ultrafast", "tune": "zerolatency"}),
    ],
)
def test_frames_of_another_size_are_scaled_to_the_first(tmp_path, name, codec, options):
    path = write_two_sizes(tmp_path / name, codec, options)
    assert index(path) == ("ok", 20)
    frames = Video(path).frames(range(20)).numpy()
    assert frames.shape == (20, 48, 64, 3)
    assert [read_number(frame) for frame in frames] == list(range(20))
    # independent of the frames requested and of the access pattern
    np.testing.assert_array_equal(Video(path).frames([15, 19]), frames[[15, 19]])
    np.testing.assert_array_equal(Video(path).frames([3, 12]), frames[[3, 12]])
    in_turn = dict(Video(path).in_order([4, 14]))
    np.testing.assert_array_equal(np.stack([in_turn[4], in_turn[14]]), frames[[4, 14]])
    assert Video(path).frames([15], 24).shape == (1, 24, 32, 3)


def test_the_first_frame_determines_the_size_if_the_header_is_wrong(tmp_path):
    path = write_clip(tmp_path / "clip", Clip(".webm", 6, codec="libvpx"))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xb0\x81\x60", b"\xb0\x81\x20", 1))
    with av.open(str(path)) as container:
        assert container.streams.video[0].width == 32
    assert Video(path).frames([3, 5]).shape == (2, 64, 96, 3)


def test_a_cover_is_no_video(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux([*sound.encode(frame), *sound.encode()])
        packet = av.Packet(jpeg(32, 32))
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        container.mux(packet)
    with pytest.raises(VideoDecodeError, match="it contains no video stream"):
        Video(path)
    assert index(path) == ("unreadable", 0)


def test_a_hole_in_a_transport_stream_is_named_and_a_join_is_not(tmp_path):
    recipe = Recipe(".ts", "libx264", num_frames=25, tracks=("video", "sound"))
    path = write_file(tmp_path / "clip", recipe)
    data = path.read_bytes()
    path.write_bytes(2 * data)
    assert index(path) == ("ok", 50)
    assert numbers(path) == [*range(25), *range(25)]
    with av.open(str(path)) as container:
        fourth = [packet.pos for packet in container.demux(video=0)][3] // 188
    path.write_bytes(data[: 188 * fourth] + data[188 * (fourth + 1) :])
    assert index(path) == ("flagged_corrupt", 0)
    with pytest.raises(VideoDecodeError, match="marks a part of it as damaged"):
        Video(path)


@pytest.mark.parametrize("suffix", [".ts", ".MPG"])
def test_single_mpeg_frames_with_little_or_no_container_are_read(tmp_path, suffix):
    path = write_file(tmp_path / "clip", Recipe(".ts", "mpeg2video", 1, width=96, height=64))
    if suffix == ".MPG":  # a bare stream without a container
        with av.open(str(path), format="mpegts") as container:
            bare = b"".join(bytes(packet) for packet in container.demux(video=0) if packet.size)
        path = path.with_name(f"bare{suffix}")
        path.write_bytes(bare)
    assert numbers(path) == [0]
    assert index(path) == ("ok", 1)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(".mkv", "libx264", 30, gop=12, b_frames=2),
        Recipe(".mp4", "mpeg4", 30, gop=12, b_frames=2),
        Recipe(".webm", "libvpx-vp9", 30, gop=12),
        Recipe(".flv", "flv", 30, gop=12),
    ],
    ids=lambda recipe: recipe.suffix,
)
def test_a_cut_file_is_the_same_each_time_it_is_read(tmp_path, recipe):
    path = cut_out(write_file(tmp_path / "clip", recipe), 3)
    assert disagreements(path) == []
    video = Video(path)
    status, num_frames = index(path)
    assert (status, num_frames) == ("ok", video.num_frames)
    assert len(video.times) == num_frames
    assert video.times[0] == 0
    once, again = video.frames(range(num_frames)), video.frames(range(num_frames))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(Video(path, num_frames=num_frames).frames([0, 5]), once[[0, 5]])


def test_pixels_that_are_not_square_stay_as_they_are_stored(tmp_path):
    path = tmp_path / "clip.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 3)
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(picture(number, 48, 96), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert Video(path).frames([4]).shape == (1, 48, 96, 3)
    assert probe_file(tmp_path, path.name).pixel_aspect == "2/3"


def test_more_frames_than_packets_are_counted_by_the_index(tmp_path):
    path = write_clip(tmp_path / "clip", Clip(".mp4", 12))
    video = Video(path, num_frames=14)
    assert (video.num_frames, len(video.times)) == (14, 14)
    assert video.duration == pytest.approx(14 / 25)
    with pytest.raises(FewerFramesError, match="ends after 12 frames"):
        video.frames([13])
