"""Random access to frame k gives the same frame as decoding from the beginning."""

import random

import av
import numpy as np
import pytest

from pks4_lightning.data.video.errors import FewerFramesError
from pks4_lightning.data.video.packets import Packet, PacketReader, Run, plan_runs
from pks4_lightning.data.video.video import Video
from tests.helpers.media import (
    Clip,
    cut_out,
    decode_in_order,
    read_number,
    without_stamps,
    write_clip,
)

UNEVEN = [stamp + (4 if index % 3 else 0) for index, stamp in enumerate(range(0, 60 * 12, 12))]
CLIPS = {
    f"{suffix[1:]}-gop{gop}-bf{b_frames}-{kind}": Clip(suffix, gop=gop, b_frames=b_frames, **times)
    for suffix, most_b_frames in ((".mp4", 3), (".mkv", 3), (".webm", 0), (".avi", 2))
    for gop in (1, 12, 250)
    for b_frames in sorted({0, most_b_frames if gop > 1 else 0})
    for kind, times in (
        ("even", {}),
        ("uneven", {"stamps": UNEVEN}),
        ("late", {"offset": 500}),
    )
    if suffix != ".avi" or kind == "even"
}
CLIPS |= {
    "open gop": Clip(".mkv", b_frames=3, options={"x264-params": "open-gop=1"}),
    "b pyramid": Clip(".mp4", b_frames=3, options={"x264-params": "b-pyramid=normal:b-adapt=0"}),
    "intra refresh": Clip(".mkv", gop=20, options={"x264-params": "intra-refresh=1"}),
    "interlaced": Clip(".mp4", b_frames=2, options={"x264-params": "interlaced=1"}),
    "many references": Clip(".mp4", b_frames=2, options={"refs": "8", "preset": "slower"}),
    "vp9, looking ahead": Clip(
        ".webm", gop=30,
        options={"deadline": "good", "cpu-used": "2", "auto-alt-ref": "1", "lag-in-frames": "25"},
    ),
    "vp8, looking ahead": Clip(
        ".webm", codec="libvpx", gop=30,
        options={"deadline": "good", "cpu-used": "2", "auto-alt-ref": "1", "lag-in-frames": "25"},
    ),
    "hevc": Clip(".mp4", codec="libx265", b_frames=3),
    "hevc, open gop": Clip(
        ".mkv", codec="libx265", b_frames=3,
        options={"x265-params": "open-gop=1:keyint=12:log-level=none:pools=none"},
    ),
    "motion jpeg": Clip(".avi", codec="mjpeg", pix_fmt="yuvj420p"),
    "one frame": Clip(".webm", num_frames=1),
    "seventeen frames": Clip(".mp4", num_frames=17, b_frames=2),
    "no stamps": Clip(".mp4", b_frames=0),
}  # fmt: skip


NUM_CLIPS = 4
FROM_THE_BEGINNING = {"interlaced", "no stamps", *(name for name in CLIPS if "avi-" in name)}


def make(folder, name):
    path = write_clip(folder / "clip", CLIPS[name])
    return without_stamps(path) if name == "no stamps" else path


@pytest.mark.parametrize("name", CLIPS)
def test_random_access_gives_the_frames_of_decoding_in_order(tmp_path, name):
    path = make(tmp_path, name)
    in_order = decode_in_order(path)
    assert [read_number(pixels) for pixels in in_order] == list(range(CLIPS[name].num_frames))
    draw = random.Random(name)
    video = Video(path)
    assert video.num_frames == len(in_order)
    alone = [[number] for number in range(0, len(in_order), 2)]
    clips = [[draw.randrange(len(in_order)) for _ in range(8)] for _ in range(NUM_CLIPS)]
    for wanted in alone + clips:
        for number, frame in zip(wanted, video.frames(wanted).numpy(), strict=True):
            np.testing.assert_array_equal(frame, in_order[number], f"frame {number} of {wanted}")
    # where packets carry enough information, unneeded frames were not decoded
    assert (video._places is None) == (name in FROM_THE_BEGINNING)


@pytest.mark.parametrize("name", ["open gop", "hevc, open gop", "mkv-gop12-bf3-even"])
@pytest.mark.parametrize("first", [9, 12, 14])
def test_a_cut_out_of_a_longer_file_begins_with_its_first_whole_frame(tmp_path, name, first):
    path = cut_out(make(tmp_path, name), first)
    in_order = decode_in_order(path)
    assert 30 <= len(in_order) <= 48
    video = Video(path)
    try:
        frames = video.frames(range(video.num_frames))
    except FewerFramesError:
        frames = video.frames(range(video.num_frames))
    np.testing.assert_array_equal(frames, np.stack(in_order))


def test_the_grid_is_large_enough():
    # counted here because the tests of the grid may run in different processes
    assert sum(-(-clip.num_frames // 2) + 8 * NUM_CLIPS for clip in CLIPS.values()) >= 2000


# frame headers from the bitstream specifications: shown keyframe, shown frame, hidden frame
HEADS = {
    "libvpx": ([0x10], [0x11], [0x01]),
    "libvpx-vp9": ([0x82, 0], [0x86, 0], [0x84, 0]),
}


@pytest.mark.parametrize("codec", HEADS)
def test_hidden_frames_have_no_number(tmp_path, codec):
    path = write_clip(tmp_path / "clip", Clip(".webm", num_frames=2, codec=codec))
    with av.open(str(path)) as container:
        reader = PacketReader(container.streams.video[0].codec_context)
    heads = [av.Packet(bytes(head)) for head in HEADS[codec]]
    assert [reader.describe(head, keep=False).is_shown for head in heads] == [True, True, False]
    superframe = av.Packet(bytes([0x84, 0, 0xC1]))
    assert reader.describe(superframe, keep=False).is_shown == (codec == "libvpx-vp9")


def test_a_clock_begins_again_at_a_key_picture_alone(tmp_path):
    path = write_clip(tmp_path / "clip", Clip(".mp4", num_frames=2))
    with av.open(str(path)) as container:
        reader = PacketReader(container.streams.video[0].codec_context)
    parts = []
    # Matroska guesses the first time of a file that was cut, and may guess too late
    for dts, is_key in [(9, True), (3, False), (4, False), (0, True), (1, False), (2, True)]:
        packet = av.Packet(bytes([0, 0, 0, 1, 0x65 if is_key else 0x41]))
        packet.dts, packet.is_keyframe = dts, is_key
        parts.append(reader.describe(packet, keep=False).part)
    assert parts == [0, 0, 0, 1, 1, 1]


def test_a_containers_keyframe_mark_alone_is_no_entry_point(tmp_path):
    video = Video(make(tmp_path, "intra refresh"))
    marked = [packet.data.is_keyframe for packet in video.stream.packets]
    assert sum(marked) > 1
    assert [packet.is_entry for packet in video.stream.packets] == [True] + [False] * 59


def test_unreferenced_frames_are_not_decoded(tmp_path):
    video = Video(make(tmp_path, "mp4-gop250-bf3-even"))
    everything = [frame.pts for frame in video._decoder.everything()]
    places = video._places[:]
    runs = plan_runs(video.stream.packets, [places[0], places[40]])
    some = [frame.pts for frame in video._decoder.decode(runs, frozenset((places[0], places[40])))]
    assert {everything[0], everything[40]} <= set(some) < set(everything[:42])
    assert len(some) < 30


def packets(*stamps_and_entries):
    return [Packet(stamp, True, entry, None) for stamp, entry in stamps_and_entries]


def test_runs_begin_at_the_last_entry_that_serves():
    closed = packets((0, True), (1, False), (2, True), (3, False), (4, True), (5, False))
    assert plan_runs(closed, [1]) == [Run(0, 1)]
    assert plan_runs(closed, [0, 5]) == [Run(0, 0), Run(4, 5)]
    assert plan_runs(closed, [1, 2, 5]) == [Run(0, 2), Run(4, 5)]
    # 2 and 3 are stored after entry 4 and shown before it
    leading = packets((0, True), (1, False), (4, True), (2, False), (3, False), (5, False))
    assert plan_runs(leading, [3]) == [Run(0, 3)]
    assert plan_runs(leading, [2, 4]) == [Run(0, 4)]
    assert plan_runs(leading, [5]) == [Run(2, 5)]
