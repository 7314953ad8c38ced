"""Decode an encoded stream: all of it, or only the packets that certain frames need."""

from collections.abc import Iterator, Sequence

import av

from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.packets import Run, plan_runs
from pks4_lightning.data.video.stream import EncodedStream

__all__ = ["Decoder", "damaged_frame"]


class Decoder:
    """Decodes the packets of a stream into frames.

    Args:
        stream: The stream. If it is strict, damaged frames are refused.
    """

    def __init__(self, stream: EncodedStream) -> None:
        self._stream = stream
        self._is_used = False
        self._has_begun = False

    def everything(self) -> Iterator[av.VideoFrame]:
        """Decode from the beginning; frames come in presentation order."""
        return self.decode([Run(0, len(self._stream.packets) - 1)], None)

    def needed(
        self, places: Sequence[int], wanted: Sequence[int]
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode the packets that the wanted frames depend on.

        Args:
            places: Position in the file of every frame's packet.
            wanted: Frame indices, increasing.

        Yields:
            The wanted frames with their indices, in any order.
        """
        packets = self._stream.packets
        number_of = {packets[places[number]].stamp: number for number in wanted}
        needed = sorted(places[number] for number in wanted)
        for frame in self.decode(plan_runs(packets, needed), frozenset(needed)):
            number = number_of.get(frame.pts)
            if number is not None:
                yield number, frame

    def decode(self, runs: Sequence[Run], wanted: frozenset[int] | None) -> Iterator[av.VideoFrame]:
        """Decode runs of packets.

        Args:
            runs: In file order, each beginning where decoding can begin.
            wanted: Positions of the packets whose pictures are wanted; packets that none of them
                needs are skipped. ``None`` skips nothing.

        Raises:
            VideoDecodeError: If a frame is damaged.
            av.error.FFmpegError: If the decoder refuses the data.
        """
        stream = self._stream
        if self._is_used and (stream.begins_midway or not stream.knows_entries):
            # the first frames may refer to missing ones, and must not use those decoded before
            stream.renew_codec()
        codec = self._stream.codec
        self._has_begun = False
        self._is_used = True
        codec.skip_frame = "DEFAULT"
        remaining = self._stream.data()
        for run in runs:
            codec.flush_buffers()
            for place, packet in remaining:
                if place < run.first:
                    continue
                if self._stream.skips_unreferenced and wanted is not None:
                    codec.skip_frame = "DEFAULT" if place in wanted else "NONREF"
                yield from self._sound(self._decoded(packet))
                if place == run.last:
                    break
            yield from self._sound(codec.decode(None))
        codec.flush_buffers()

    def _decoded(self, packet: av.Packet) -> Sequence[av.VideoFrame]:
        """Decode a packet; tolerate failures at the start of a file cut from a longer one."""
        stream = self._stream
        try:
            return stream.codec.decode(packet)
        except av.error.InvalidDataError:
            if self._has_begun or not stream.begins_midway or packet.is_keyframe:
                raise
            return []
        except av.error.BlockingIOError:
            # the decoder still holds the rest of a packet that was tolerated
            stream.codec.flush_buffers()
            return self._decoded(packet)

    def _sound(self, frames: Sequence[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Yield frames; refuse a damaged one among or between them, because others depend on it."""
        for frame in frames:
            # a file cut from a longer one may begin with frames that lack their references
            if self._stream.strict and frame.is_corrupt and self._has_begun:
                raise damaged_frame(self._stream.name)
            self._has_begun |= not frame.is_corrupt
            yield frame


def damaged_frame(name: str) -> VideoDecodeError:
    """Return the error for a file with a frame that the decoder marks as damaged."""
    return VideoDecodeError.of(name, "the decoder reports a damaged frame", "flagged_corrupt")
