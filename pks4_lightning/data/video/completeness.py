"""Check that a file is complete: compare what its container claims with what was read.

FFmpeg reads a file that was cut off as a shorter one, without a warning. MP4 and AVI tables give
the number of samples, Matroska and WebM their duration; other containers give neither.
"""

from collections.abc import Sequence

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pks4_lightning.data.video.errors import Fault

__all__ = ["CompletenessCheck"]

_FALLBACK_FRAME_RATE = 25
_SLACK_FRAMES = 1.5
"""Tolerance of a duration that several streams have in common, in seconds: muxers round it and
include the delays of audio codecs."""
_JOIN_PACKETS = 3
"""Concatenated transport streams have a discontinuity mark this close before the join."""


class CompletenessCheck:
    """Observes the packets of a file while it is read, and judges the file at the end.

    Args:
        container: The open file.
        stream: Its video stream.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._num_listed = len(stream.index_entries)
        self._num_samples = 0
        self._marked: list[int] = []
        self._keys: set[int] = set()
        self._end = 0
        self._last_duration = 0
        self._end_of_others = 0.0
        self._last_durations: dict[int, int] = {}

    def note(self, packet: av.Packet) -> None:
        """Record a packet of any stream."""
        if packet.stream is self._stream:
            if packet.size == 0 and packet.dts is None:
                return  # PyAV's end marker
            if packet.is_corrupt:
                self._marked.append(self._num_samples)
            if packet.is_keyframe:
                self._keys.add(self._num_samples)
            self._num_samples += 1
            self._last_duration = packet.duration or 0
            if packet.dts is not None:
                self._end = max(self._end, packet.dts + max(1, self._last_duration))
        elif packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._end_of_others = max(end, self._end_of_others)
            self._last_durations[packet.stream_index] = packet.duration or 0

    def fault(self, stamps: Sequence[int | None]) -> tuple[Fault, str] | None:
        """Return what is wrong with the file, as a kind and a reason, or ``None``.

        Args:
            stamps: Time stamps of all packets of the video, in ticks.
        """
        if self._num_samples - 1 in self._marked:
            return "truncated", "its end is missing: it stops in the middle of a frame"
        for place in self._marked:
            if self._keys.isdisjoint(range(place + 1, place + 1 + _JOIN_PACKETS)):
                return "flagged_corrupt", "its container marks a part of it as damaged"
        kind = self._container.format.name
        if kind == "avi" or "mp4" in kind:
            missing = self._missing_samples(kind)
        elif "matroska" in kind:
            missing = self._missing_seconds(stamps)
        else:
            return None
        if missing is None:
            return None
        return "truncated", f"its end is missing: its header promises {missing}"

    def _missing_samples(self, kind: str) -> str | None:
        # the header also counts chunks of zero length, and what an edit list cuts off
        found, promised = self._num_samples, len(self._stream.index_entries)
        if kind == "avi" and promised > self._num_listed:
            # the index at the end is missing, and FFmpeg has rebuilt it from what it read
            found, promised = max(found, self._end), self._stream.frames
        return None if found >= promised else f"{promised} frames and it holds {found}"

    def _missing_seconds(self, stamps: Sequence[int | None]) -> str | None:
        duration, time_base = self._container.duration, self._stream.time_base
        known = np.sort(np.asarray([s for s in stamps if s is not None], dtype=np.int64))
        if duration is None or time_base is None or not 0 < len(stamps) == len(known):
            return None
        rate = self._stream.average_rate or self._stream.guessed_rate or _FALLBACK_FRAME_RATE
        gaps = np.diff(known) * float(time_base) if len(known) > 1 else np.ones(1) / float(rate)
        longest, usual = float(gaps.max()), float(np.median(gaps))
        # a recording with a variable rate may show its last picture longer than any before
        spare = (0.75 if longest <= 1.5 * usual else 1.5) * longest + 0.003
        last = self._last_duration * float(time_base) if self._last_duration > 0 else longest
        end = int(known[-1]) * float(time_base) + last
        if 0 in self._last_durations.values():
            return None  # it is unknown how long the last subtitle or picture is shown
        if len(self._container.streams) > 1:
            # the duration is that of the longest stream
            end = max(end, self._end_of_others)
            spare = max(spare, _SLACK_FRAMES * usual)
        promised = duration / av.time_base
        if promised - end <= spare:
            return None
        return f"{promised:.2f} seconds and it ends at {end:.2f}"
