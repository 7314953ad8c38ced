"""Copy the sound of a video into a new file, beside re-encoded pictures."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from pks4_lightning.data.video.container import open_video
from pks4_lightning.data.video.errors import ffmpeg_errors

__all__ = ["CONTAINERS", "SoundCopy", "check_sound"]

CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}
"""FFmpeg's names of the containers that can be written, by suffix."""


class SoundCopy:
    """Copies the sound of a file packet by packet.

    Args:
        container: The file.
        written: The copy.
    """

    def __init__(self, container: InputContainer, written: OutputContainer) -> None:
        heard = _heard(container)
        self._name = container.name
        self._clocks = {each.index: _Clock() for each in heard}
        self._copies = {each.index: written.add_stream_from_template(each) for each in heard}
        self._packets = container.demux(*heard) if heard else iter(())
        self._written = written
        self._next: av.Packet | None = None

    def copy_until(self, seconds: float) -> None:
        """Copy the sound up to this time on the file's own clock.

        Args:
            seconds: The time; infinite for all the rest.
        """
        while True:
            packet = self._next or self._read()
            if packet is None:
                return
            if packet.dts is not None and float(packet.dts * packet.time_base) > seconds:
                self._next = packet
                return
            self._next = None
            if packet.size:
                packet.stream = self._copies[packet.stream.index]
                self._written.mux(packet)

    def _read(self) -> av.Packet | None:
        with ffmpeg_errors(self._name):
            packet = next(self._packets, None)
        if packet is not None and packet.dts is not None:
            self._clocks[packet.stream_index].keep_going(packet)
        return packet


class _Clock:
    """Time of one track, which goes on where joined recordings begin theirs again."""

    def __init__(self) -> None:
        self._shift = 0
        self._last: int | None = None
        self._end = 0

    def keep_going(self, packet: av.Packet) -> None:
        """Move the track's next packet to follow the one before, if its own time goes back."""
        assert packet.dts is not None
        if self._last is not None and packet.dts < self._last:
            self._shift = self._end - packet.dts
        self._last = packet.dts
        packet.dts += self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        self._end = packet.dts + max(1, packet.duration or 0)


def check_sound(source: Path, out: Path) -> None:
    """Check that the container of a copy can hold a video's sound.

    Args:
        source: The video.
        out: The copy, whose suffix is one of :data:`CONTAINERS`.

    Raises:
        ValueError: If it cannot; the message names a container that can.
        VideoDecodeError: If the source cannot be read.
    """
    with open_video(source, str(source)) as (container, _):
        heard = _heard(container)
        fitting = [suffix for suffix, name in CONTAINERS.items() if _holds(name, heard)]
        codecs = ", ".join(sorted({each.codec_context.codec.name for each in heard}))
    suffix = out.suffix.lower()
    if suffix not in fitting:
        way_out = (
            f"end its name in {' or '.join(fitting)}"
            if fitting
            else f"convert the sound first, with ffmpeg -i '{source}' -c:v copy -c:a aac COPY.mkv"
        )
        raise ValueError(
            f"--overlay is '{out}', but a file that ends in {suffix} cannot hold the sound of "
            f"'{source}' ({codecs}): {way_out}."
        )


def _heard(container: InputContainer) -> list[AudioStream]:
    return [each for each in container.streams if isinstance(each, AudioStream)]


def _holds(container_format: str, heard: Sequence[AudioStream]) -> bool:
    """Try to begin a file with these streams, because lists of codecs promise too much."""
    if not heard:
        return True
    try:
        with av.open(BytesIO(), "w", format=container_format) as trial:
            for each in heard:
                trial.add_stream_from_template(each)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True
