"""The packets of a video stream with their times, read once without decoding."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from jaxtyping import Float64

from pks4_lightning.data.video.completeness import CompletenessCheck
from pks4_lightning.data.video.container import open_video, set_up_decoder
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.packets import Packet, PacketReader

__all__ = ["EncodedStream", "read_stream"]

MAX_PACKETS = 2_000_000
"""Nineteen hours at 30 frames per second; larger tables of packets are taken as memory attacks."""
_FALLBACK_FRAME_RATE = Fraction(25)
_KEPT_BYTES = 64 * 2**20
"""Bytes of packets kept in memory; the rest of a longer file is read again for decoding."""


@dataclass
class EncodedStream:
    """A video stream whose packets have been read; the file is closed again."""

    file: Path | BinaryIO
    name: str
    """Name used in messages."""
    strict: bool
    """Whether damage is reported."""
    container: str
    """FFmpeg's name for the format of the file."""
    codec: VideoCodecContext
    size: tuple[int, int]
    """Height and width of the stored frames according to the header, in pixels."""
    pixel_aspect: Fraction
    """Width of a pixel divided by its height."""
    packets: list[Packet]
    """All packets, in file order."""
    times: Float64[np.ndarray, " num_frames"]
    """When frames are shown, in seconds from the start of the first one, increasing."""
    frame_seconds: float
    """Average duration of a frame in seconds."""
    begins_midway: bool
    """Whether it was cut from a longer one, so that its first packets may not be decodable."""
    reorders: bool
    """Whether presentation order may differ from file order."""
    knows_entries: bool
    """Whether the packets show where decoding can begin."""
    skips_unreferenced: bool
    """Whether pictures that no other one refers to can be skipped without changing others."""

    def renew_codec(self) -> None:
        """Replace the decoder by a fresh one."""
        with open_video(self.file, self.name) as (_, stream):
            set_up_decoder(stream.codec_context, strict=self.strict)
            self.codec = stream.codec_context

    def data(self) -> Iterator[tuple[int, av.Packet]]:
        """Yield all packets with their positions, from memory or else from the file."""
        if self.packets[-1].data is not None:
            for place, packet in enumerate(self.packets):
                if packet.data is not None:
                    yield place, packet.data
            return
        with open_video(self.file, self.name) as (container, stream):
            full = (packet for packet in container.demux(stream) if packet.size)
            yield from enumerate(full)


def read_stream(file: Path | BinaryIO, name: str, *, strict: bool) -> EncodedStream:
    """Read all packets of a file's video stream.

    Args:
        file: Path, or an open file, which is read from its beginning.
        name: Name used in messages.
        strict: Refuse a file with a missing end or part.

    Raises:
        VideoDecodeError: If the file is refused, or contains no video frames.
    """
    packets: list[Packet] = []
    kept = 0
    begins_midway = False
    with open_video(file, name) as (container, stream):
        set_up_decoder(stream.codec_context, strict=strict)
        reader = PacketReader(stream.codec_context)
        check = CompletenessCheck(container, stream)
        for packet in container.demux():
            check.note(packet)
            if packet.stream is not stream or packet.size == 0:
                continue
            if not packets:
                begins_midway = reader.begins_midway(packet)
            kept += packet.size
            packets.append(reader.describe(packet, keep=kept <= _KEPT_BYTES))
            if len(packets) > MAX_PACKETS:
                reason = f"it has more than {MAX_PACKETS} frames"
                raise VideoDecodeError.of(name, reason, "too_large")
        if not any(packet.is_shown for packet in packets):
            raise VideoDecodeError.of(name, "it contains no video frames", "zero_frames")
        wrong = check.fault([packet.stamp for packet in packets])
        if strict and wrong is not None:
            fault, reason = wrong
            raise VideoDecodeError.of(name, reason, fault)
        rate = stream.average_rate or stream.guessed_rate or _FALLBACK_FRAME_RATE
        return EncodedStream(
            file, name, strict, container.format.name, stream.codec_context,
            size=(stream.height, stream.width),
            pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
            packets=packets,
            times=_times(packets, rate, stream.time_base),
            frame_seconds=float(1 / rate),
            begins_midway=begins_midway,
            reorders=stream.codec_context.has_b_frames,
            knows_entries=reader.knows_entries,
            skips_unreferenced=reader.skips_unreferenced,
        )  # fmt: skip


def _times(
    packets: list[Packet], rate: Fraction, time_base: Fraction | None
) -> Float64[np.ndarray, " num_frames"]:
    """Return when frames are shown; each of several joined recordings follows the one before."""
    shown = [packet for packet in packets if packet.is_shown]
    known = [packet.stamp for packet in shown if packet.stamp is not None]
    if len(known) < len(shown) or time_base is None:
        return np.arange(len(shown)) / float(rate)
    ticks = np.asarray(known, dtype=np.int64)
    parts = np.asarray([packet.part for packet in shown])
    ticks = ticks[np.lexsort((ticks, parts))]
    steps = np.where(np.diff(parts) > 0, round(1 / (rate * time_base)), np.diff(ticks))
    times: Float64[np.ndarray, " num_frames"] = np.append(0, np.cumsum(steps)) * float(time_base)
    return times
