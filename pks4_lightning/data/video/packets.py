"""The encoded packets of a video file, read once, and the dependencies between frames.

Packets are kept in memory, so the file is opened only once and random access needs no seeking:
decoding begins at any packet whose picture, and all pictures shown after it, depend on nothing
before it. These packets are identified from their own data, because containers also mark places
from which a decoder recovers only gradually.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import av
from av.video.codeccontext import VideoCodecContext

__all__ = ["Packet", "PacketReader", "Run", "plan_runs", "presentation_order"]

_HEVC_FIRST_IRAP, _HEVC_LAST_IRAP = 16, 21
_H264_IDR = 5
_PROGRESSIVE = (0, 1)
"""FFmpeg's field orders for unknown, and for whole frames."""


class Packet(NamedTuple):
    """What is kept about one packet, in file order."""

    stamp: int | None
    """Presentation time of its picture, in ticks of the stream."""
    is_shown: bool
    is_entry: bool
    data: av.Packet | None
    part: int = 0
    """How often the file's clock has begun again, as it does where recordings are joined."""


class Run(NamedTuple):
    """Consecutive packets to decode, beginning with an entry point."""

    first: int
    last: int


class PacketReader:
    """Reads the dependencies between pictures from the packets of a codec.

    Args:
        codec: The decoder of the stream.
    """

    def __init__(self, codec: VideoCodecContext) -> None:
        name, extradata = codec.codec.canonical_name, bytes(codec.extradata or b"")
        nal = {"h264": _is_idr, "hevc": _is_irap}.get(name)
        self._is_entry: Callable[[memoryview], bool] | None = None
        self._is_shown: Callable[[memoryview], bool] | None = None
        if nal is not None and codec.field_order in _PROGRESSIVE:
            length_place = 4 if name == "h264" else 21
            size = 0
            if len(extradata) > length_place and extradata[0] == 1:
                size = (extradata[length_place] & 3) + 1
            self._is_entry = lambda data: any(nal(unit) for unit in _nal_heads(data, size))
        elif name == "vp9":
            self._is_entry, self._is_shown = _vp9_is_key, _vp9_is_shown
        elif name == "vp8":
            self._is_entry, self._is_shown = _vp8_is_key, _vp8_is_shown
        elif name == "mjpeg":
            self._is_entry = lambda _: True
        self._is_mpeg4 = name == "mpeg4"
        self.knows_entries = self._is_entry is not None
        """Whether the packets of this codec show where decoding can begin."""
        self.skips_unreferenced = name == "h264"
        """Whether pictures that no other one refers to can be skipped without changing others."""
        self._part = 0
        self._latest: int | None = None

    def begins_midway(self, first: av.Packet) -> bool:
        """Return whether a stream was cut from a longer one, so that its start is not decodable.

        Args:
            first: Its first packet.
        """
        if self._is_entry is not None:
            return not self._is_entry(memoryview(first))
        # an MP4 file without any key picture marks all as key pictures
        return not first.is_keyframe or (self._is_mpeg4 and not _mpeg4_is_key(memoryview(first)))

    def describe(self, packet: av.Packet, *, keep: bool) -> Packet:
        """Return the properties of the next packet in the file.

        Args:
            packet: A demuxed packet that is not empty.
            keep: Keep its data as well.
        """
        is_entry = (
            bool(packet.is_keyframe)
            and self._is_entry is not None
            and self._is_entry(memoryview(packet))
        )
        is_shown = not packet.is_discard and (
            self._is_shown is None or self._is_shown(memoryview(packet))
        )
        if packet.dts is not None:
            # presentation times go back for B-frames, and a guessed decoding time for the first
            if packet.is_keyframe and self._latest is not None and packet.dts < self._latest:
                self._part, self._latest = self._part + 1, packet.dts
            self._latest = max(packet.dts, packet.dts if self._latest is None else self._latest)
        return Packet(packet.pts, is_shown, is_entry, packet if keep else None, self._part)


def plan_runs(packets: Sequence[Packet], wanted: Sequence[int]) -> list[Run]:
    """Choose the packets that certain frames need.

    Args:
        packets: All packets of the video; the first one is an entry point and all have stamps.
        wanted: Positions of the wanted frames' packets in the file, increasing.

    Returns:
        Runs in file order, without overlap. Each begins at the last entry point that neither
        follows the wanted packet in the file nor is shown after it (pictures may follow an entry
        point in the file but be shown before it; they depend on earlier packets).
    """
    entries = [place for place, packet in enumerate(packets) if packet.is_entry]
    runs: list[Run] = []
    for place in wanted:
        index = bisect_right(entries, place) - 1
        while index > 0 and _stamp(packets[entries[index]]) > _stamp(packets[place]):
            index -= 1
        first, last = entries[max(index, 0)], place
        while runs and first <= runs[-1].last + 1:
            earlier = runs.pop()
            first, last = min(first, earlier.first), max(last, earlier.last)
        runs.append(Run(first, last))
    return runs


def presentation_order(packets: Sequence[Packet], *, reorders: bool) -> list[int] | None:
    """Return the position of every frame's packet, in presentation order.

    Args:
        packets: All packets of the video.
        reorders: Whether presentation order may differ from file order. Stamps that increase anyway
            may be wrong: invented by FFmpeg (AVI has none), or decoding times written as
            presentation times.

    Returns:
        ``None`` if only decoding from the beginning can tell: stamps are missing, invented,
        duplicated or restart, as in concatenated files, or decoding cannot begin with the first
        packet.
    """
    shown = [place for place, packet in enumerate(packets) if packet.is_shown]
    stamps = {packet.stamp for packet in packets}
    if not packets[0].is_entry or None in stamps or len(stamps) < len(packets):
        return None
    if packets[-1].part > 0:
        return None
    if reorders and all(_stamp(one) < _stamp(other) for one, other in pairwise(packets)):
        return None
    latest = _stamp(packets[0])
    for packet in packets[1:]:
        # packets before an entry point must be shown before it
        if packet.is_entry and _stamp(packet) < latest:
            return None
        latest = max(latest, _stamp(packet))
    return sorted(shown, key=lambda place: _stamp(packets[place]))


def _stamp(packet: Packet) -> int:
    if packet.stamp is None:
        raise ValueError("A packet without a time stamp cannot be ordered.")
    return packet.stamp


def _nal_heads(data: memoryview, length_size: int) -> Iterator[int]:
    """Yield the first byte of every NAL unit of a packet.

    Args:
        data: The packet.
        length_size: Bytes of the length before each unit; 0 if start codes separate them.
    """
    if length_size == 0:
        content, place = bytes(data), 0
        while 0 <= (place := content.find(b"\0\0\1", place)) < len(content) - 3:
            place += 3
            yield content[place]
        return
    place = 0
    while place + length_size < len(data):
        yield data[place + length_size]
        place += length_size + int.from_bytes(data[place : place + length_size], "big")


def _is_idr(head: int) -> bool:
    return head & 0x1F == _H264_IDR


def _is_irap(head: int) -> bool:
    return _HEVC_FIRST_IRAP <= (head >> 1) & 0x3F <= _HEVC_LAST_IRAP


def _mpeg4_is_key(data: memoryview) -> bool:
    """Read the picture type, the first two bits after the start code."""
    place = bytes(data).find(b"\0\0\1\xb6") + 4
    return not 4 <= place < len(data) or data[place] & 0xC0 == 0


def _vp9_is_key(data: memoryview) -> bool:
    """Read VP9's uncompressed header: marker (2 bits), profile (2), show existing, not key."""
    profile_3 = data[0] & 0x30 == 0x30
    return not profile_3 and data[0] & 0x0C == 0


def _vp9_is_shown(data: memoryview) -> bool:
    """Return whether a picture is shown; a superframe ends with one that is shown."""
    profile_3, is_superframe = data[0] & 0x30 == 0x30, data[-1] & 0xE0 == 0xC0
    return profile_3 or is_superframe or data[0] & 0x0A != 0


def _vp8_is_key(data: memoryview) -> bool:
    return data[0] & 1 == 0


def _vp8_is_shown(data: memoryview) -> bool:
    return data[0] >> 4 & 1 == 1
