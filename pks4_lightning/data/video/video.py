"""Frames of an encoded video by their number, decoded with PyAV.

The number of a frame is its place in presentation order, counted from 0. Headers are not asked how
many frames there are (WebM says 0, others may lie): packets are counted, and the count is put right
when decoding ends early. The file is read once. Where its packets say which frames depend on which,
only those that the wanted frames need are decoded; elsewhere all up to the last one wanted. Only
wanted frames are converted to RGB and scaled, in one pass of FFmpeg's scaler.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import BinaryIO, TypeAlias

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.container import (
    MAX_PACKETS,
    MAX_PIXELS,
    VIDEO_SUFFIXES,
    VideoDecodeError,
    ffmpeg_errors,
    find_missing_end,
    open_video,
    set_up_decoder,
)
from pks4_lightning.data.video.packets import (
    Packet,
    PacketReader,
    Run,
    plan_runs,
    presentation_order,
)
from pks4_lightning.data.video.pytorchvideo_compat import Video as VideoInterface

__all__ = ["VIDEO_SUFFIXES", "FewerFramesError", "Resize", "Video", "VideoDecodeError", "resized"]

Resize: TypeAlias = int | tuple[int, int]
"""Length of the shorter side, or (height, width), in pixels."""

_FALLBACK_FRAME_RATE = Fraction(25)
_KEPT_BYTES = 64 * 2**20
"""Of packets in memory; the rest of a longer file is read again when it is decoded."""


class FewerFramesError(Exception):
    """Decoding ended before a frame that the packet count had promised.

    ``Video.num_frames`` is right from then on; choose frames anew.
    """


def resized(height: int, width: int, resize: Resize | None) -> tuple[int, int]:
    """Return the height and width that a frame has after ``resize``.

    Args:
        height: Height before, in pixels.
        width: Width before, in pixels.
        resize: A whole number keeps the aspect ratio. ``None`` changes nothing.
    """
    if resize is None:
        return height, width
    if isinstance(resize, int):
        short = min(height, width)
        return round(height * resize / short), round(width * resize / short)
    return resize[0], resize[1]


class Video(VideoInterface):
    """A video file whose frames are asked for by number.

    Implements pytorchvideo's ``Video``, so its samplers and datasets can work on it; the loader of
    this package uses :meth:`frames`. Audio is never decoded. The file is closed again as soon as
    its packets have been read; a ``Video`` is for one thread.

    Args:
        file: Path, or an open binary file. A file stays the caller's to close.
        video_name: Name used in messages; the path where absent.
        decode_audio: Part of the interface; must be False.
        apply_rotation: Turn frames as the file's display matrix says, as players do.
        num_frames: Frames that decoding gives, where that is known. A file with as many packets
            is taken at its word; any other is decoded from the beginning.
        strict: Refuse files whose end is missing and frames that the decoder finds damaged.

    Raises:
        VideoDecodeError: If the file is absent, is of no supported container or codec, has frames
            of more than 4096 × 2304 pixels, or contains no video frames; if ``strict``, also if its
            end is missing.
    """

    def __init__(
        self,
        file: str | PathLike[str] | BinaryIO,
        video_name: str | None = None,
        decode_audio: bool = False,
        *,
        apply_rotation: bool = True,
        num_frames: int | None = None,
        strict: bool = True,
    ) -> None:
        if decode_audio:
            raise ValueError("decode_audio must be False: this Video has no sound.")
        if isinstance(file, (str, PathLike)):
            self._file: Path | BinaryIO = Path(file).absolute()
            self._name = video_name or str(file)
        else:
            self._file = file
            self._name = video_name or str(getattr(file, "name", "video"))
        self._apply_rotation = apply_rotation
        self._strict = strict
        self._scaler = VideoReformatter()
        self._packets: list[Packet] = []
        self._read_packets()
        self._places = presentation_order(self._packets)
        self.num_frames = len(self._times)
        """Frames in the video; an upper bound until decoding has confirmed it."""
        if num_frames is not None and 0 < num_frames < self.num_frames:
            self._shorten(num_frames)

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float(self._times[-1]) + float(self._frame_seconds)

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these numbers.

        Args:
            indices: Frame numbers from 0 to ``num_frames - 1``, in any order, repeats allowed.
            resize: Scaling, after rotation.

        Returns:
            RGB frames in the order of ``indices``.

        Raises:
            FewerFramesError: If the video ends before the last of them.
            VideoDecodeError: If the decoder refuses the data.
            IndexError: If a number is out of range.
        """
        if not indices or min(indices) < 0 or max(indices) >= self.num_frames:
            raise IndexError(f"Frames {list(indices)} of a video with {self.num_frames} frames.")
        wanted = sorted(set(indices))
        pictures: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        with ffmpeg_errors(self._name):
            if self._places is not None:
                for number, frame in self._needed_frames(self._places, wanted):
                    pictures[number] = self._to_rgb(frame, resize)
            if len(pictures) < len(wanted):
                self._places = None
                number = -1
                for number, frame in enumerate(self._all_frames()):
                    if number in wanted:
                        pictures[number] = self._to_rgb(frame, resize)
                    if number == wanted[-1]:
                        break
                else:
                    self._end_early(number + 1)
        return self._stacked([pictures[index] for index in indices])

    def frames_between(self, start_sec: float | Fraction, end_sec: float | Fraction) -> range:
        """Return the numbers of the frames shown first in this span.

        Args:
            start_sec: Seconds from the first frame; included.
            end_sec: Seconds from the first frame; excluded.

        Returns:
            A range that holds at least one frame: where none starts within the span, the one on
            screen at its beginning.
        """
        # pytorchvideo's samplers add up fractions of seconds; time stamps are rounded to ticks
        tolerance = 1e-6
        first = int(np.searchsorted(self._times, float(start_sec) - tolerance, side="left"))
        end = int(np.searchsorted(self._times, float(end_sec) - tolerance, side="left"))
        if end > first:
            return range(first, end)
        shown = min(max(first - 1, 0), self.num_frames - 1)
        return range(shown, shown + 1)

    def get_clip(
        self, start_sec: float | Fraction, end_sec: float | Fraction
    ) -> dict[str, Tensor | None]:
        """Return every frame of a span of time, as pytorchvideo's interface has it.

        Args:
            start_sec: Seconds from the first frame; included.
            end_sec: Seconds from the first frame; excluded.

        Returns:
            ``video``, float32 of shape (3, frames, height, width) from 0 to 255, and ``audio``,
            which is ``None``.
        """
        while True:
            try:
                pictures = self.frames(self.frames_between(start_sec, end_sec))
            except FewerFramesError:
                continue
            return {"video": pictures.permute(3, 0, 1, 2).float(), "audio": None}

    def _read_packets(self) -> None:
        """Read all packets without decoding, and when each frame is shown, in seconds."""
        kept = 0
        last_duration = 0
        with open_video(self._file, self._name) as (container, stream):
            self._codec = stream.codec_context
            set_up_decoder(self._codec, strict=self._strict)
            reader = PacketReader(self._codec)
            self._skips_unreferenced = reader.skips_unreferenced
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                kept += packet.size
                if self._strict and packet.is_corrupt:
                    raise VideoDecodeError.of(self._name, "a part of it is missing")
                self._packets.append(reader.describe(packet, keep=kept <= _KEPT_BYTES))
                last_duration = packet.duration or 0
                if len(self._packets) > MAX_PACKETS:
                    raise VideoDecodeError.of(self._name, f"it has more than {MAX_PACKETS} frames")
            stamps = [packet.stamp for packet in self._packets]
            rate = stream.average_rate or stream.guessed_rate or _FALLBACK_FRAME_RATE
            time_base = stream.time_base
            missing = find_missing_end(container, stream, stamps, last_duration)
        shown = [packet.stamp for packet in self._packets if packet.is_shown]
        if not shown:
            raise VideoDecodeError.of(self._name, "it contains no video frames")
        if self._strict and missing is not None:
            raise VideoDecodeError.of(self._name, missing)
        self._may_begin_late = reader.knows_entries and not self._packets[0].is_entry
        self._frame_seconds = 1 / rate
        known = [stamp for stamp in shown if stamp is not None]
        if len(known) < len(shown) or time_base is None:
            self._times = np.arange(len(shown)) / float(rate)
        else:
            ticks = np.sort(np.asarray(known, dtype=np.int64))
            self._times = (ticks - ticks[0]) * float(time_base)

    def _needed_frames(
        self, places: Sequence[int], wanted: Sequence[int]
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode what the wanted frames depend on; give them with their numbers, in any order."""
        number_of = {self._packets[places[number]].stamp: number for number in wanted}
        needed = sorted(places[number] for number in wanted)
        for frame in self._decode(plan_runs(self._packets, needed), frozenset(needed)):
            number = number_of.get(frame.pts)
            if number is not None:
                yield number, frame

    def _all_frames(self) -> Iterator[av.VideoFrame]:
        """Decode from the beginning; frames come in the order in which they are shown."""
        everything = Run(0, len(self._packets) - 1)
        return self._decode([everything], None)

    def _decode(
        self, runs: Sequence[Run], wanted: frozenset[int] | None
    ) -> Iterator[av.VideoFrame]:
        """Decode runs of packets; with ``wanted`` places, leave out what none of them needs."""
        codec = self._codec
        self._has_begun = False
        codec.skip_frame = "DEFAULT"
        remaining = iter(self._data())
        for run in runs:
            codec.flush_buffers()
            for place, packet in remaining:
                if place < run.first:
                    continue
                if self._skips_unreferenced and wanted is not None:
                    codec.skip_frame = "DEFAULT" if place in wanted else "NONREF"
                yield from self._sound(self._decoded(packet))
                if place == run.last:
                    break
            yield from self._sound(codec.decode(None))
        codec.flush_buffers()

    def _decoded(self, packet: av.Packet) -> Sequence[av.VideoFrame]:
        """Decode a packet; let pass what a cut out of a longer file cannot decode at its start."""
        try:
            return self._codec.decode(packet)
        except av.error.InvalidDataError:
            if self._has_begun or not self._may_begin_late:
                raise
            return []

    def _sound(self, frames: Sequence[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """Pass frames on; refuse a damaged one among or between them: others follow from it."""
        for frame in frames:
            # a file cut out of a longer one may begin with frames that lack what they refer to
            if self._strict and frame.is_corrupt and self._has_begun:
                raise VideoDecodeError.of(self._name, "the decoder finds a frame damaged")
            self._has_begun |= not frame.is_corrupt
            yield frame

    def _data(self) -> Iterator[tuple[int, av.Packet]]:
        """Give all packets with their places, from memory or else from the file."""
        if self._packets[-1].data is not None:
            for place, packet in enumerate(self._packets):
                if packet.data is not None:
                    yield place, packet.data
            return
        with open_video(self._file, self._name) as (container, stream):
            full = (packet for packet in container.demux(stream) if packet.size)
            yield from enumerate(full)

    def _end_early(self, num_frames: int) -> None:
        """Put the number of frames right, and say so."""
        if num_frames == 0:
            raise VideoDecodeError.of(self._name, "none of its frames can be decoded")
        self._shorten(num_frames)
        raise FewerFramesError(f"'{self._name}' ends after {num_frames} frames.")

    def _shorten(self, num_frames: int) -> None:
        self.num_frames = num_frames
        self._times = self._times[:num_frames]
        self._places = None

    def _to_rgb(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Convert, scale and turn one frame."""
        if frame.width * frame.height > MAX_PIXELS:
            size = f"{frame.width} × {frame.height}"
            raise VideoDecodeError.of(self._name, f"its frames of {size} are too large")
        if self._strict and frame.is_corrupt:
            raise VideoDecodeError.of(self._name, "the decoder finds a frame damaged")
        quarters = round(frame.rotation / 90) % 4 if self._apply_rotation else 0
        height, width = frame.height, frame.width
        if quarters % 2:
            height, width = width, height
        height, width = resized(height, width, resize)
        if quarters % 2:
            height, width = width, height
        picture = self._scaled(frame, height, width)
        return np.rot90(picture, quarters) if quarters else picture

    def _stacked(self, pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> UInt8[Tensor, "T H W 3"]:
        if len({picture.shape for picture in pictures}) > 1:
            raise VideoDecodeError.of(self._name, "its frames are of different sizes")
        if pictures[0].strides[-1] == 1:
            return torch.from_numpy(np.stack(pictures))
        planes = np.stack([picture.transpose(2, 0, 1) for picture in pictures])
        return torch.from_numpy(planes).permute(0, 2, 3, 1)

    def _scaled(
        self, frame: av.VideoFrame, height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Convert and scale a frame by one thread; the scaler would start one per core."""
        if (height, width) == (frame.height, frame.width):
            return self._scaler.reformat(frame, format="rgb24", threads=1).to_ndarray()
        # packed pixels take over twice the time, and at some widths come out 2 levels too dark
        scaled = self._scaler.reformat(
            frame, width, height, "gbrp", interpolation="BILINEAR", threads=1
        )
        planes = np.empty((3, height, width), np.uint8)
        for channel, plane in zip((1, 2, 0), scaled.planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
            planes[channel] = rows[:, :width]
        return planes.transpose(1, 2, 0)
