"""Malicious files are refused by name before they use much memory or open other files."""

import os
import subprocess
import sys

import av
import numpy as np
import pytest

from pks4_lightning.data.video import stream as stream_module
from pks4_lightning.data.video import video as video_module
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.video import Video
from tests.helpers.media import Clip, read_number, write_clip

BOMB_MEMORY = """
import sys
from pathlib import Path
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.video import Video

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

before = peak()
try:
    Video(sys.argv[1]).frames(range(8))
except VideoDecodeError as error:
    print(error)
print(peak() - before)
"""


def test_a_decompression_bomb_is_refused_in_little_memory(tmp_path):
    path = tmp_path / "bomb.mp4"
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x264-params": "threads=1:lookahead-threads=1"}
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = 4096, 8192, "yuv420p"
        gray = np.full((4096 * 3 // 2, 8192), 128, np.uint8)
        for _ in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="yuv420p")))
        container.mux(stream.encode())
    assert path.stat().st_size < 2**18
    done = subprocess.run(
        [sys.executable, "-c", BOMB_MEMORY, path], capture_output=True, text=True, check=True
    )
    message, growth = done.stdout.splitlines()
    assert message == f"Cannot decode video '{path}': its frames of 8192 × 4096 are too large."
    assert int(growth) < 150


def test_a_frame_that_grows_beyond_the_header_is_refused(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip", Clip(".mp4", 4))
    monkeypatch.setattr(video_module, "MAX_PIXELS", 64 * 96 - 1)
    with pytest.raises(VideoDecodeError, match="its frames of 96 × 64 are too large"):
        Video(path).frames([0])


DRESSED_UP = {
    "text": b"not a video at all\n" * 40,
    "page": b"<!doctype html><html><body>404</body></html>",
    "list for concat": b"ffconcat version 1.0\nfile 'secret.mp4'\n",
    "HLS playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "DASH manifest": b'<?xml version="1.0"?><MPD><BaseURL>secret.mp4</BaseURL></MPD>',
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "zeros": bytes(4096),
}


@pytest.mark.parametrize("kind", DRESSED_UP)
@pytest.mark.parametrize("as_file", [False, True])
def test_other_files_dressed_as_videos_are_refused(tmp_path, monkeypatch, kind, as_file):
    write_clip(tmp_path / "secret", Clip(".mp4", 3))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "clip.mp4"
    path.write_bytes(DRESSED_UP[kind])
    if as_file:
        with path.open("rb") as file, pytest.raises(VideoDecodeError, match=r"clip\.mp4"):
            Video(file)
    else:
        with pytest.raises(VideoDecodeError, match=r"clip\.mp4"):
            Video(path)


@pytest.mark.parametrize(
    "name",
    ["concat:secret.mp4", "subfile,,start,0,end,0,,:secret.mp4", "file:secret.mp4", "crypto:x"],
)
def test_protocols_in_names_are_treated_as_file_names(tmp_path, monkeypatch, name):
    write_clip(tmp_path / "secret", Clip(".mp4", 3))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoDecodeError, match="there is no such file"):
        Video(name)
    write_clip(tmp_path / "other", Clip(".mp4", 5)).rename(name)
    assert Video(name).num_frames == 5


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_special_files_are_refused_unopened(tmp_path, kind):
    path = tmp_path / "clip.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(VideoDecodeError, match="it is not a regular file"):
        Video(path)


def write_raw(path, codec, pix_fmt):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 32, pix_fmt
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [("magicyuv", "gbrp", ".avi"), ("ffv1", "yuv420p", ".mkv"), ("png", "rgb24", ".mov")],
)
def test_rare_codecs_are_refused_by_name(tmp_path, codec, pix_fmt, suffix):
    path = write_raw(tmp_path / f"clip{suffix}", codec, pix_fmt)
    with pytest.raises(VideoDecodeError, match=f"its codec {codec} is not among the supported"):
        Video(path)


def test_files_larger_than_the_cache_are_read_again(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "clip", Clip(".mp4", 60, b_frames=2))
    whole = Video(path).frames([3, 30, 59])
    monkeypatch.setattr(stream_module, "_KEPT_BYTES", path.stat().st_size // 2)
    video = Video(path)
    assert sum(packet.data is not None for packet in video.stream.packets) < 60
    np.testing.assert_array_equal(video.frames([3, 30, 59]), whole)
    assert [read_number(frame) for frame in video.frames([59, 0]).numpy()] == [59, 0]
