"""The encoded packets of a video file, read once, and which of them a frame needs.

Packets are kept in memory, so the file is opened a single time and random access needs no seeking:
decoding begins at any packet whose picture, and all pictures shown after it, depend on nothing
before. Which packets those are is read from the packets themselves, since the containers' marks
also stand at places from which a decoder recovers only by and by.
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
"""FFmpeg's field order: unknown, or whole frames."""


class Packet(NamedTuple):
    """What is kept about one packet, in the order of the file."""

    stamp: int | None
    """When its picture is shown, in the stream's ticks."""
    is_shown: bool
    is_entry: bool
    data: av.Packet | None


class Run(NamedTuple):
    """Packets to decode one after the other, from an entry on."""

    first: int
    last: int


class PacketReader:
    """Reads from packets how the pictures of a codec depend on each other.

    Args:
        codec: Decoder of the stream.
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
        """Whether the packets of this codec say where decoding can begin."""
        self.skips_unreferenced = name == "h264"
        """Whether pictures that no other one refers to can be left out without changing any."""

    def begins_midway(self, first: av.Packet) -> bool:
        """Tell whether a stream was cut out of a longer one, so that its start is not decodable.

        Args:
            first: Its first packet.
        """
        if self._is_entry is not None:
            return not self._is_entry(memoryview(first))
        # an MP4 file without any key picture marks all of them
        return not first.is_keyframe or (self._is_mpeg4 and not _mpeg4_is_key(memoryview(first)))

    def describe(self, packet: av.Packet, *, keep: bool) -> Packet:
        """Return what is needed to know about a packet.

        Args:
            packet: As demuxed, not empty.
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
        return Packet(packet.pts, is_shown, is_entry, packet if keep else None)


def plan_runs(packets: Sequence[Packet], wanted: Sequence[int]) -> list[Run]:
    """Choose the packets that some frames need.

    Args:
        packets: All packets of the video; the first one is an entry and all have stamps.
        wanted: Places of the wanted frames' packets in the file, rising.

    Returns:
        Runs in the order of the file, without overlap. Each begins at the last entry that is
        neither after the wanted packet in the file nor shown after it (pictures may follow an
        entry in the file and be shown before it; they depend on what came earlier).
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
    """Return the place of every frame's packet, in the order in which frames are shown.

    Args:
        packets: All packets of the video.
        reorders: Frames may be shown in another order than they are stored. Stamps that rise all
            the same may be made up: by FFmpeg, as AVI has none, or by who took the times of
            decoding for those of showing.

    Returns:
        ``None`` where only decoding from the beginning tells: stamps are missing, made up, appear
        twice or begin anew, as in files that were joined, or decoding cannot begin with the first
        packet.
    """
    shown = [place for place, packet in enumerate(packets) if packet.is_shown]
    stamps = {packet.stamp for packet in packets}
    if not packets[0].is_entry or None in stamps or len(stamps) < len(packets):
        return None
    if reorders and all(_stamp(one) < _stamp(other) for one, other in pairwise(packets)):
        return None
    latest = _stamp(packets[0])
    for packet in packets[1:]:
        # what comes before an entry is shown before it
        if packet.is_entry and _stamp(packet) < latest:
            return None
        latest = max(latest, _stamp(packet))
    return sorted(shown, key=lambda place: _stamp(packets[place]))


def _stamp(packet: Packet) -> int:
    if packet.stamp is None:
        raise ValueError("A packet without a time stamp has no place in the order.")
    return packet.stamp


def _nal_heads(data: memoryview, length_size: int) -> Iterator[int]:
    """Give the first byte of every NAL unit of a packet.

    Args:
        data: The packet.
        length_size: Bytes of the length before each unit; 0 where start codes part them.
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
    """Read the type of the picture, the first two bits after its start code."""
    place = bytes(data).find(b"\0\0\1\xb6") + 4
    return not 4 <= place < len(data) or data[place] & 0xC0 == 0


def _vp9_is_key(data: memoryview) -> bool:
    """Read VP9's uncompressed header: two bits of marker, two of profile, existing, not key."""
    profile_3 = data[0] & 0x30 == 0x30
    return not profile_3 and data[0] & 0x0C == 0


def _vp9_is_shown(data: memoryview) -> bool:
    """Tell a hidden reference picture that stands alone; a superframe's last picture is shown."""
    profile_3, is_superframe = data[0] & 0x30 == 0x30, data[-1] & 0xE0 == 0xC0
    return profile_3 or is_superframe or data[0] & 0x0A != 0


def _vp8_is_key(data: memoryview) -> bool:
    return data[0] & 1 == 0


def _vp8_is_shown(data: memoryview) -> bool:
    return data[0] >> 4 & 1 == 1
