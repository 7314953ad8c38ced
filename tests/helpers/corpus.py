"""Damaged video files: six base clips, each damaged in 39 ways."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

NUM_FRAMES = 24
SIDE = 96

BASES = {
    "bframes.mp4": ("libx264", "yuv420p", {"g": "12", "bf": "2"}, {}),
    "faststart.mp4": ("libx264", "yuv420p", {"g": "12", "bf": "0"}, {"movflags": "faststart"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8"}, {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"g": "12"}, {}),
    "hevc.mkv": ("libx265", "yuv420p10le", {"x265-params": "log-level=none:pools=1"}, {}),
    "full.mp4": ("libx264", "yuv444p", {"g": "12"}, {}),
}


def write_clip(path: Path, base: str, *, seed: int = 0) -> Path:
    """Write a clip of a moving texture in the format of one of the bases."""
    codec, pixels, options, container_options = BASES[base]
    draw = np.random.default_rng(seed)
    texture = draw.integers(0, 256, (12, 12, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    with av.open(str(path), "w", options={"fflags": "+bitexact", **container_options}) as container:
        stream = container.add_stream(codec, rate=12, options={"threads": "1", **options})
        stream.height = stream.width = SIDE
        stream.pix_fmt = pixels
        stream.bit_rate = 150_000
        for number in range(NUM_FRAMES):
            picture = np.ascontiguousarray(
                texture[2 * number : 2 * number + SIDE, number : number + SIDE]
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def mutations(seed: int = 0) -> dict[str, Callable[[bytes], bytes]]:
    """Return 39 functions that damage a file, by name."""
    ways: dict[str, Callable[[bytes], bytes]] = {}
    for size in (0, 1, 16, 100, 406):
        ways[f"first_{size}_bytes"] = lambda data, size=size: data[:size]
    for percent in (10, 20, 30, 50, 70, 80, 90, 95, 99):
        ways[f"first_{percent}_percent"] = lambda data, p=percent: data[: len(data) * p // 100]
    for bits in (1, 2, 4, 8, 16, 32, 64):
        for again in range(2):
            ways[f"flip_{bits}_bits_{again}"] = lambda data, b=bits, a=again: _flip(
                data, b, random.Random(f"flip-{seed}-{b}-{a}")
            )
    for place in range(4):
        ways[f"noise_{place}"] = lambda data, p=place: _noise(
            data, random.Random(f"noise-{seed}-{p}")
        )
    for size in (32, 512):
        ways[f"zeroed_{size}"] = lambda data, size=size: bytes(size) + data[size:]
    ways["random_bytes"] = lambda data: random.Random(f"bytes-{seed}").randbytes(len(data))
    ways["html"] = lambda _: b"<!DOCTYPE html><html><body>403 Forbidden</body></html>\n" * 20
    for one, other in ((0, 1), (1, 2), (2, 3)):
        ways[f"swap_{one}_{other}"] = lambda data, a=one, b=other: _swap(data, a, b)
    return ways


def damaged_files(folder: Path, originals: Path, *, seed: int = 0) -> Iterator[Path]:
    """Write every base clip in ``originals``, damaged in every way, and yield the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for base in BASES:
        data = (originals / base).read_bytes()
        for name, way in mutations(seed).items():
            path = folder / f"{Path(base).stem}-{name}{Path(base).suffix}"
            path.write_bytes(way(data))
            yield path


def all_frames(path: Path) -> list[bytes] | None:
    """Decode a file as leniently as FFmpeg; return ``None`` if it raises."""
    # no bare image streams, because an AVI file without header is mistaken for one
    options = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"}
    try:
        with av.open(str(path), options=options, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # None where the codec is unknown
            return [frame.to_ndarray().tobytes() for frame in container.decode(stream)]
    except (av.error.FFmpegError, AttributeError, IndexError, ValueError):
        return None


def _flip(data: bytes, bits: int, draw: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(bits):
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    return bytes(broken)


def _noise(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(max(1, len(data) - 256))
    return data[:start] + draw.randbytes(256) + data[start + 256 :]


def _swap(data: bytes, one: int, other: int) -> bytes:
    size = len(data) // 4
    parts = [data[place * size : (place + 1) * size] for place in range(4)]
    parts[one], parts[other] = parts[other], parts[one]
    return b"".join(parts) + data[4 * size :]
