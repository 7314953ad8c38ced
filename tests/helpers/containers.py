"""Draw and write valid video files of many kinds.

A ``Recipe`` describes a file: container, codec and GOP structure; the other tracks and their order;
constant or variable frame rate; a whole file, or one cut by ``-c copy`` at a packet other than the
first. The files are written with PyAV alone, without the package.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from tests.helpers.media import FAST, picture

CODECS = {
    ".mp4": ("libx264", "libx264", "libx265", "mpeg4", "libvpx-vp9", "libsvtav1"),
    ".mov": ("libx264", "mjpeg", "mpeg4", "libx265"),
    ".mkv": ("libx264", "libx265", "mpeg4", "libvpx", "libvpx-vp9", "mjpeg", "mpeg2video"),
    ".webm": ("libvpx", "libvpx-vp9", "libvpx-vp9", "libsvtav1"),
    ".avi": ("mpeg4", "libx264", "mjpeg", "msmpeg4", "mpeg2video"),
    ".ts": ("libx264", "libx265", "mpeg2video"),
    ".mpg": ("mpeg1video", "mpeg2video"),
    ".flv": ("flv", "libx264"),
    ".wmv": ("wmv1", "wmv2", "msmpeg4"),
    ".3gp": ("h263", "mpeg4", "libx264"),
    ".ogv": ("libvpx",),
}
B_FRAMES = frozenset({"libx264", "libx265", "mpeg4", "mpeg2video", "mpeg1video"})
PIXELS = {
    "libx264": ("yuv420p", "yuv420p", "yuv420p10le", "yuv444p", "yuv422p"),
    "libx265": ("yuv420p", "yuv420p10le"),
    "libvpx-vp9": ("yuv420p", "yuv420p", "yuv444p"),
    "mjpeg": ("yuvj420p", "yuvj422p"),
}
X264_WAYS = ("open-gop=1", "intra-refresh=1", "b-pyramid=strict", "interlaced=1", "ref=4")
# hidden reference frames between the shown ones
LOOKING_AHEAD = {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "12"}

MP4 = frozenset({".mp4", ".mov"})
SOUND = {
    ".webm": "libopus", ".mkv": "libopus", ".avi": "pcm_s16le", ".mpg": "mp2", ".wmv": "wmav2",
    ".ogv": "libopus",
}  # fmt: skip
SUBTITLES = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "subrip", ".webm": "webvtt"}
DATA = {".mp4": "bin_data", ".ts": "timed_id3"}
POSSIBLE = {
    "sound": frozenset(CODECS),
    "still": frozenset({".mp4", ".mkv", ".mov"}),
    "subtitles": frozenset(SUBTITLES),
    "data": frozenset(DATA),
    "cover": frozenset({".mp4", ".mkv"}),
    "attachment": frozenset({".mkv"}),
}
UNEVEN = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi"})
STARTS = {".mp4": (250, -1, -3, -7), ".mov": (-2, -5), ".mkv": (250,), ".webm": (1, 250)}
JOINABLE = frozenset({".ts", ".mpg"})
EVEN_CODECS = frozenset({"mpeg2video", "mpeg1video", "libsvtav1"})


@dataclass(frozen=True)
class Recipe:
    """Description of a file."""

    suffix: str
    codec: str
    num_frames: int = 20
    height: int = 48
    width: int = 64
    pix_fmt: str = "yuv420p"
    gop: int = 6
    b_frames: int = 0
    options: dict[str, str] = field(default_factory=dict)
    stamps: tuple[int, ...] = ()
    """Presentation times of frames, in 25ths of a second; consecutive if empty."""
    start: int = 0
    """Added to all times. An MP4 file's edit list cuts off frames before 0."""
    tracks: tuple[str, ...] = ("video",)
    timecode: bool = False
    """Whether a separate track contains the recording time, as in files of QuickTime cameras."""
    cut: int = 0
    """Number of the video's first packets left out, by copying the others."""
    faststart: bool = False
    """Whether an MP4 file's sample table is at its beginning."""
    joined: bool = False
    """Whether the file is concatenated with itself."""


def draw_recipe(number: int) -> Recipe:
    """Draw the recipe with this number (deterministic)."""
    draw = random.Random(f"recipe {number}")
    suffix = draw.choice(list(CODECS))
    codec = draw.choice(CODECS[suffix])
    tracks = ["video", *(t for t, among in POSSIBLE.items() if suffix in among and flip(draw))]
    draw.shuffle(tracks)
    recipe = Recipe(
        suffix,
        codec,
        num_frames=draw.randint(1, 5) if flip(draw, 0.3) else draw.randint(6, 30),
        height=64 if codec == "libsvtav1" else draw.choice((48, 52, 64)),
        width=draw.choice((64, 66, 96)),
        pix_fmt=draw.choice(PIXELS.get(codec, ("yuv420p",))),
        gop=draw.choice((1, 4, 6, 12, 250)),
        b_frames=draw.choice((0, 1, 2, 3)) if codec in B_FRAMES else 0,
        tracks=tuple(tracks),
        timecode=suffix == ".mov" and flip(draw),
        faststart=suffix in MP4 and flip(draw),
        joined=suffix in JOINABLE and flip(draw, 0.2),
    )
    if codec == "h263":
        recipe = replace(recipe, height=96, width=128)
    recipe = replace(recipe, options=_draw_options(recipe, draw))
    if suffix in UNEVEN and codec not in EVEN_CODECS and flip(draw):
        steps = [draw.choice((1, 1, 1, 2, 3, 9)) for _ in range(recipe.num_frames - 1)]
        recipe = replace(recipe, stamps=tuple(accumulate(steps, initial=0)))
    if suffix in STARTS and flip(draw, 0.3):
        recipe = replace(recipe, start=draw.choice(STARTS[suffix]))
    if recipe.num_frames > 2 and not recipe.joined and flip(draw):
        recipe = replace(recipe, cut=draw.randint(1, recipe.num_frames // 2))
    return recipe


def flip(draw: random.Random, probability: float = 0.4) -> bool:
    """Return True with the given probability."""
    return draw.random() < probability


def _draw_options(recipe: Recipe, draw: random.Random) -> dict[str, str]:
    codec = recipe.codec
    if codec.startswith("libvpx") and flip(draw, 0.5):
        return LOOKING_AHEAD
    if codec == "libx264" and flip(draw, 0.5):
        way = draw.choice(X264_WAYS)
        # fields have half the lines, which must be a whole number in every colour plane
        return {} if "interlaced" in way and recipe.height % 16 else {"x264-params": way}
    if codec == "libx265" and flip(draw, 0.5):
        way = f"open-gop=1:keyint={recipe.gop}:log-level=none:pools=none"
        return {"x265-params": way}
    if codec == "mpeg2video" and flip(draw, 0.3):
        return {"flags": "+ildct+ilme"}
    return {}


def write_file(path: Path, recipe: Recipe) -> Path:
    """Write a file with the recipe's suffix, and return its path."""
    path = path.with_suffix(recipe.suffix)
    whole = path.with_stem(f"{path.stem}-whole") if recipe.cut else path
    with av.open(str(whole), "w", options=_options(recipe)) as container:
        streams = {track: _add_track(container, track, recipe) for track in recipe.tracks}
        packets = [p for track, stream in streams.items() for p in _encode(track, stream, recipe)]
        container.start_encoding()
        for packet in sorted(packets, key=_time):
            container.mux(packet)
    if recipe.cut:
        _copy(whole, path, recipe.cut)
        whole.unlink()
    if recipe.joined:
        path.write_bytes(2 * path.read_bytes())
    return path


def _options(recipe: Recipe) -> dict[str, str]:
    options = {"movflags": "faststart"} if recipe.faststart else {}
    return {**options, "avoid_negative_ts": "disabled"} if recipe.start < 0 else options


def decode_as_ffmpeg_does(path: Path) -> list[np.ndarray]:
    """Decode all frames of a file with PyAV alone, without seeking, as RGB; skip errors."""
    frames: list[np.ndarray] = []
    # a file with a single frame is too short to be recognised
    likely = "mpegts" if path.suffix == ".ts" else None
    try:
        container = av.open(str(path), format=likely, metadata_errors="replace")
    except av.error.FFmpegError:
        return frames
    with container:
        stream = _film(container)
        if stream is None or stream.codec_context is None:
            return frames
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            frames += [frame.to_ndarray(format="rgb24", threads=1) for frame in _decode(packet)]
    return frames


def _decode(packet: av.Packet) -> list[av.VideoFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        return []
    except av.error.BlockingIOError:
        # the decoder still contains the rest of a packet that failed
        packet.stream.codec_context.flush_buffers()
        return _decode(packet)


def _time(packet: av.Packet) -> float:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return float((stamp or 0) * packet.time_base)


def _film(container):
    """Return the video stream of a file that may also contain a cover and a still image."""
    films = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    return max(films, key=lambda stream: Disposition.default in stream.disposition, default=None)


def _add_track(container, track: str, recipe: Recipe):
    if track == "video":
        return _add_video(container, recipe)
    if track == "sound":
        codec = SOUND.get(recipe.suffix, "aac")
        rate = 48000 if codec in ("libopus", "mp2") else 44100
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
    elif track == "still":
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuvj420p"
    elif track == "subtitles":
        stream = container.add_mux_stream(SUBTITLES[recipe.suffix])
        stream.time_base = Fraction(1, 1000)
    elif track == "data":
        stream = container.add_data_stream(DATA[recipe.suffix])
        stream.time_base = Fraction(1, 90000)
    elif track == "attachment":
        stream = container.add_attachment("font.ttf", "application/x-truetype-font", bytes(500))
    elif recipe.suffix in MP4:
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width, stream.pix_fmt = 120, 160, "yuvj420p"
        stream.disposition = Disposition.attached_pic
    else:
        stream = container.add_attachment("cover.jpg", "image/jpeg", jpeg(120, 160))
    return stream


def _add_video(container, recipe: Recipe):
    options = {"bf": str(recipe.b_frames), **FAST.get(recipe.codec, {}), **recipe.options}
    if recipe.codec == "libsvtav1":
        options = {"preset": "11"}
    stream = container.add_stream(recipe.codec, rate=25, options=options)
    stream.height, stream.width, stream.pix_fmt = recipe.height, recipe.width, recipe.pix_fmt
    stream.disposition = Disposition.default
    stream.gop_size = recipe.gop
    stream.codec_context.time_base = Fraction(1, 25)
    if recipe.codec != "libsvtav1":
        stream.bit_rate = 400_000
        stream.codec_context.thread_count = 1
    if recipe.codec in B_FRAMES:
        stream.codec_context.max_b_frames = recipe.b_frames
    if recipe.timecode:
        stream.metadata["timecode"] = "10:20:30:00"
    return stream


def _encode(track: str, stream, recipe: Recipe) -> Iterator[av.Packet]:
    """Yield the packets of a track."""
    seconds = recipe.num_frames / 25
    if track == "video":
        for number in range(recipe.num_frames):
            pixels = picture(number, recipe.height, recipe.width)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = recipe.start + (recipe.stamps[number] if recipe.stamps else number)
            frame.time_base = Fraction(1, 25)
            yield from stream.encode(frame)
        yield from stream.encode()
    elif track == "still":
        frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 90, np.uint8), format="rgb24")
        yield from stream.encode(frame)
        yield from stream.encode()
    elif track == "sound":
        size = stream.codec_context.frame_size or 1024
        for block in range(max(1, int(seconds * stream.rate / size))):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, size), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = stream.rate, block * size
            yield from stream.encode(frame)
        yield from stream.encode()
    elif track in ("subtitles", "data"):
        for number in range(2):
            content = b"caption" if track == "subtitles" else b"ID3\x04\0\0\0\0\0\0"
            if recipe.suffix in MP4 and track == "subtitles":
                content = len(content).to_bytes(2, "big") + content
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, stream.time_base
            packet.pts = packet.dts = int(number * seconds / 4 / stream.time_base)
            packet.duration = int(seconds / 8 / stream.time_base)
            yield packet
    elif track == "cover" and recipe.suffix in MP4:
        frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 90, np.uint8), format="rgb24")
        yield from stream.encode(frame)
        yield from stream.encode()


def jpeg(height: int, width: int) -> bytes:
    """Encode an image."""
    codec = av.CodecContext.create("mjpeg", "w")
    codec.height, codec.width, codec.pix_fmt = height, width, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
    return b"".join(map(bytes, [*codec.encode(frame), *codec.encode(None)]))


def _copy(source: Path, target: Path, cut: int) -> None:
    """Copy all tracks without the video's first packets."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as container:
        copies = {}
        for stream in whole.streams:
            is_cover = Disposition.attached_pic in stream.disposition
            if stream.type not in ("attachment", "data") and (not is_cover or source.suffix in MP4):
                copy = container.add_stream_from_template(stream, opaque=True)
                copy.disposition = stream.disposition
                copies[stream.index] = copy
        video = _film(whole)
        for packet in whole.demux():
            if packet.size == 0 or packet.stream.index not in copies:
                continue
            if packet.stream is video and cut:
                cut -= 1
                continue
            packet.stream = copies[packet.stream.index]
            container.mux(packet)
