import resource
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pks4_lightning.data.video.video import Video
from pks4_lightning.timeline.overlay import check_overlay, draw_caption, write_overlay
from tests.helpers.containers import Recipe, write_file
from tests.helpers.media import Clip, picture, read_number, write_clip

UNEVEN = [0, 4, 7, 30, 31, 60, 64, 68, 90, 100]


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    return [round(time - times[0], 3) for time in times]


@pytest.mark.parametrize(
    "clip",
    [
        Clip(".mp4", b_frames=2),
        Clip(".mkv", num_frames=10, stamps=UNEVEN),
        Clip(".webm", num_frames=20, height=65, width=97),
        Clip(".avi", num_frames=12),
        Clip(".mp4", offset=50, num_frames=15),
    ],
    ids=lambda clip: f"{clip.suffix}-{clip.num_frames}",
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_keep_their_number_their_times_and_their_order(tmp_path, clip, suffix):
    source = write_clip(tmp_path / "in", clip)
    out = tmp_path / f"out{suffix}"
    asked = []
    number = write_overlay(source, out, lambda seconds: asked.append(seconds) or [("x", 0.5)])
    assert number == clip.num_frames == len(times_of(out))
    assert times_of(out) == times_of(source)
    assert [round(seconds, 3) for seconds in asked] == times_of(source)
    upper = Video(out).frames(range(number))[:, : clip.height // 2 * 2]
    assert [read_number(frame.numpy()) & 0b1111 for frame in upper] == [
        n & 0b1111 for n in range(number)
    ]


def test_sound_is_copied_packet_by_packet(tmp_path):
    source = write_clip(tmp_path / "in", Clip(".mp4", sound=1.0))
    out = tmp_path / "out.mp4"
    write_overlay(source, out, lambda _: [])
    packets = []
    for path in (source, out):
        with av.open(str(path)) as container:
            packets.append([bytes(p) for p in container.demux(audio=0) if p.size])
    assert packets[0] == packets[1]
    assert packets[0]


@pytest.mark.parametrize(
    "recipe",
    [Recipe(".ts", "libx264", 25, b_frames=2), Recipe(".mpg", "mpeg2video", 50, b_frames=2)],
)
def test_joined_recordings_are_copied_with_their_sound(tmp_path, recipe):
    """Some frames of MPEG-2 with B-frames have equal times, which encoders refuse."""
    recipe = replace(recipe, tracks=("video", "sound"), joined=True)
    source, out = write_file(tmp_path / "in", recipe), tmp_path / "out.mp4"
    assert write_overlay(source, out, lambda _: []) == 2 * recipe.num_frames
    assert Video(out).times == pytest.approx(Video(source).times, abs=2e-3)
    with av.open(str(source)) as container:
        stored = [packet for packet in container.demux(audio=0) if packet.size]
    with av.open(str(out)) as container:
        copied = [packet for packet in container.demux(audio=0) if packet.size]
    assert len(copied) == len(stored)
    sound_ends = float((copied[-1].pts + copied[-1].duration) * copied[-1].time_base)
    assert sound_ends == pytest.approx(Video(source).duration, abs=0.7)


def test_errors_of_the_encoder_name_the_copy(tmp_path):
    source = write_clip(tmp_path / "in", Clip(".mp4"))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    try:
        with pytest.raises(ValueError, match=r"^The copy '.*out.mp4' cannot be written: file too"):
            write_overlay(source, tmp_path / "out.mp4", lambda _: [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.parametrize(
    ("codec", "way_out"),
    [("pcm_u8", "(pcm_u8): end its name in .mkv"), ("adpcm_ms", "(adpcm_ms): convert the sound")],
)
def test_sound_that_the_container_cannot_hold_is_found_before_any_work(tmp_path, codec, way_out):
    clip = Clip(".avi", num_frames=5, sound=0.2, sound_codec=codec)
    source = write_clip(tmp_path / "in", clip)
    with pytest.raises(ValueError, match=r"'.*out\.mp4'.* ends in \.mp4 cannot hold") as caught:
        check_overlay(source, tmp_path / "out.mp4")
    assert way_out in str(caught.value)
    assert list(tmp_path.iterdir()) == [source]
    if codec == "pcm_u8":
        write_overlay(source, tmp_path / "out.mkv", lambda _: [])
        assert len(times_of(tmp_path / "out.mkv")) == 5


def test_a_folder_that_nothing_can_be_written_to_is_found_before_any_work(tmp_path):
    source = write_clip(tmp_path / "in", Clip(".mp4", num_frames=3))
    with pytest.raises(OSError, match=r"No copy can be written to /proc: .* with --overlay"):
        check_overlay(source, Path("/proc/out.mp4"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("degrees", "size", "aspect"), [(0, (80, 48), (4, 3)), (90, (48, 80), (3, 4))]
)
def test_pixels_that_are_not_square_keep_their_shape(tmp_path, suffix, degrees, size, aspect):
    source, out = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(degrees)
        for number in range(3):
            pixels = picture(number, 48, 80)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    write_overlay(source, out, lambda _: [])
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == size
        assert stream.sample_aspect_ratio == Fraction(*aspect)


def test_a_caption_is_drawn_where_it_belongs_and_its_bar_is_as_long_as_the_score():
    gray = np.full((120, 201, 3), 128, np.uint8)
    drawn = draw_caption(gray, [("Pushing something from left to right " * 5, 1.0), ("β", 0.25)])
    assert drawn.shape == (120, 200, 3)
    changed = (drawn != 128).any(-1)
    assert not changed[:80].any()
    assert changed[110].sum() > 150
    blue = (drawn[..., 2].astype(int) - drawn[..., 0]) > 40
    assert 30 < blue[108].sum() < 60
    assert blue[94].sum() > 120


@pytest.mark.parametrize("width", [2, 4, 8, 17])
def test_a_picture_without_room_for_a_caption_gets_none(width):
    gray = np.full((36, width, 3), 128, np.uint8)
    drawn = draw_caption(gray, [("a", 1.0)])
    assert drawn.shape == (36, width // 2 * 2, 3)
    assert (drawn != 128).any() == (width > 8)


@pytest.mark.parametrize(
    ("name", "error"),
    [("out.avi", ValueError), ("in.mp4", FileExistsError), ("mine.mp4", FileExistsError)],
)
def test_unwritable_overlays_are_refused_by_name(tmp_path, name, error):
    source = write_clip(tmp_path / "in", Clip(".mp4", num_frames=3))
    (tmp_path / "mine.mp4").write_text("precious")
    with pytest.raises(error, match=name):
        write_overlay(source, tmp_path / name, lambda _: [])
    assert len(times_of(source)) == 3
    assert (tmp_path / "mine.mp4").read_text() == "precious"
