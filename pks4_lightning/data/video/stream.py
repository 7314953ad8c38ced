"""The packets of a file's video stream, read once and without decoding, and when they are shown."""

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
"""Nineteen hours at 30 frames a second; a longer table of packets is an attack on the memory."""
_FALLBACK_FRAME_RATE = Fraction(25)
_KEPT_BYTES = 64 * 2**20
"""Of packets in memory; the rest of a longer file is read again when it is decoded."""


@dataclass
class EncodedStream:
    """A video stream whose packets have been read; its file is closed."""

    file: Path | BinaryIO
    name: str
    """Used in messages."""
    strict: bool
    """Damage is to be reported."""
    container: str
    """FFmpeg's name for the format of the file."""
    codec: VideoCodecContext
    size: tuple[int, int]
    """Height and width of the frames as stored, by the header, in pixels."""
    pixel_aspect: Fraction
    """Width of a pixel divided by its height."""
    packets: list[Packet]
    """All of them, in the order of the file."""
    times: Float64[np.ndarray, " num_frames"]
    """When frames are shown, in seconds from the first one's start, rising."""
    frame_seconds: float
    """How long a frame is shown, on average."""
    begins_midway: bool
    """It was cut out of a longer one, so that its first packets may not be decodable."""
    reorders: bool
    """Frames may be shown in another order than they are stored."""
    knows_entries: bool
    """The packets say where decoding can begin."""
    skips_unreferenced: bool
    """Pictures that no other one refers to can be left out without changing any."""

    def renew_codec(self) -> None:
        """Replace the decoder by one that has not decoded anything."""
        with open_video(self.file, self.name) as (_, stream):
            set_up_decoder(stream.codec_context, strict=self.strict)
            self.codec = stream.codec_context

    def data(self) -> Iterator[tuple[int, av.Packet]]:
        """Give all packets with their places, from memory or else from the file."""
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
        strict: Refuse a file whose end, or a part, is missing.

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
    stamps = [packet.stamp for packet in packets if packet.is_shown]
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps) or time_base is None:
        return np.arange(len(stamps)) / float(rate)
    ticks = np.sort(np.asarray(known, dtype=np.int64))
    times: Float64[np.ndarray, " num_frames"] = (ticks - ticks[0]) * float(time_base)
    return times
