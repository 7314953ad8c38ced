"""Video files for tests, with various containers, time stamps and pixel formats.

Every frame shows its number as ten black or white bands, one per bit, which survive any
compression.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10
CODECS = {".mp4": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".webm": "libvpx-vp9"}
FAST = {
    "libx264": {"preset": "ultrafast", "tune": "fastdecode", "crf": "20"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
}


@dataclass
class Clip:
    """Description of a file.

    ``stamps`` are in hundredths of a second; ``None`` spaces frames by 4, starting at ``offset``.
    """

    suffix: str
    num_frames: int = 60
    height: int = 64
    width: int = 96
    codec: str | None = None
    pix_fmt: str = "yuv420p"
    gop: int = 12
    b_frames: int = 0
    offset: int = 0
    stamps: list[int] | None = None
    options: dict[str, str] = field(default_factory=dict)
    file_options: dict[str, str] = field(default_factory=dict)
    sound: float = 0.0
    sound_codec: str = "aac"
    full_range: bool = False


def picture(number: int, height: int, width: int) -> np.ndarray:
    """Return a frame: its bands, over a pattern that moves two pixels to the left per frame."""
    bands = np.array([200 if (number >> bit) & 1 else 55 for bit in range(BITS)])
    rows = bands[np.arange(height) * BITS // height]
    pattern = np.random.default_rng(0).normal(0, 1, (height + 8, width + 8, 3))
    for axis in (0, 1):
        pattern = sum(np.roll(pattern, shift, axis) for shift in range(4)) / 2
    pattern = np.roll(pattern[4:-4, 4:-4], -2 * number, axis=1)
    return (rows[:, None, None] + 12 * pattern).clip(0, 255).astype(np.uint8)


def read_number(pixels: np.ndarray) -> int:
    """Read the number of an RGB or gray frame of any size."""
    rows = [(2 * bit + 1) * pixels.shape[0] // (2 * BITS) for bit in range(BITS)]
    bright = pixels[rows].reshape(BITS, -1).mean(axis=1) > 127
    return sum(int(bit) << place for place, bit in enumerate(bright))


def write_clip(path: Path, clip: Clip) -> Path:
    """Write a clip to the path with the clip's suffix, and return that path."""
    path = path.with_suffix(clip.suffix)
    codec = clip.codec or CODECS[clip.suffix]
    options = {"bf": str(clip.b_frames), **FAST.get(codec, {}), **clip.options}
    with av.open(str(path), "w", options=clip.file_options) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = clip.height, clip.width, clip.pix_fmt
        stream.gop_size = clip.gop
        if codec == "mpeg4":
            stream.codec_context.max_b_frames = clip.b_frames
        stream.bit_rate = 400_000
        # AVI counts frames; the other containers have arbitrary time stamps
        ticks = 1 if clip.suffix == ".avi" else 4
        stream.codec_context.time_base = Fraction(1, 25 * ticks)
        if clip.full_range:
            stream.codec_context.color_range = 2
        sound = None
        if clip.sound:
            sound = container.add_stream(clip.sound_codec, rate=8000, layout="mono")
        for number in range(clip.num_frames):
            pixels = picture(number, clip.height, clip.width)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if clip.full_range:
                frame = frame.reformat(format=clip.pix_fmt, dst_color_range="JPEG")
            stamp = clip.offset + 4 * number if clip.stamps is None else clip.stamps[number]
            frame.pts = stamp * ticks // 4
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            _write_sound(container, sound, clip.sound)
    return path


def _write_sound(container, stream, seconds: float) -> None:
    for block in range(max(1, int(seconds * 8000 / 1024))):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, block * 1024
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def without_stamps(path: Path) -> Path:
    """Copy a clip's H.264 data into an AVI file, which cannot store presentation times."""
    target = path.with_name(path.stem + "-no-stamps.avi")
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = source.streams.video[0]
        copy = container.add_stream_from_template(stream)
        filters = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", stream)
        number = 0
        for packet in source.demux(stream):
            if packet.size:
                for plain in filters.filter(packet):
                    plain.stream = copy
                    plain.pts = None
                    plain.time_base = Fraction(1, 25)
                    plain.dts = number
                    container.mux(plain)
                    number += 1
    return target


def cut_out(path: Path, first: int) -> Path:
    """Copy a clip's packets from ``first`` on, like tools that cut without re-encoding."""
    target = path.with_name(f"{path.stem}-from-{first}{path.suffix}")
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = source.streams.video[0]
        copy = container.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size][first:]
        begin = packets[0].dts
        for packet in packets:
            packet.stream = copy
            packet.pts -= begin
            packet.dts -= begin
            container.mux(packet)
    return target


def decode_in_order(path: Path) -> list[np.ndarray]:
    """Decode all frames of a file from the beginning with PyAV alone, as RGB."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(stream)]
