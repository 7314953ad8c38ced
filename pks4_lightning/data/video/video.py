"""Frames of an encoded video by their number, decoded with PyAV.

Headers are not asked how many frames there are (WebM says 0, others may lie): packets are counted,
and the count is put right when decoding ends early. The file is read once. Where its packets say
which frames depend on which, only those that the wanted frames need are decoded; elsewhere all up
to the last one wanted. Only wanted frames are converted to RGB and scaled.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor

from pks4_lightning.data.video.container import MAX_PIXELS
from pks4_lightning.data.video.conversion import RgbConverter, stacked
from pks4_lightning.data.video.decoder import Decoder, damaged_frame
from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError, ffmpeg_errors
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.data.video.packets import presentation_order
from pks4_lightning.data.video.stream import read_stream

__all__ = ["Video"]


class _SizeInDoubtError(Exception):
    """A frame has another size than the header says; only the first one tells what size counts."""


class Video(FrameSource):
    """A video file whose frames are asked for by number.

    Audio is never decoded. The file is closed again as soon as its packets have been read; a
    ``Video`` is for one thread.

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
            source: Path | BinaryIO = Path(file).absolute()
            self._name = video_name or str(file)
        else:
            source = file
            self._name = video_name or str(getattr(file, "name", "video"))
        self._strict = strict
        self.stream = read_stream(source, self._name, strict=strict)
        """What the file holds."""
        self._decoder = Decoder(self.stream)
        self._converter = RgbConverter(apply_rotation=apply_rotation)
        self._size_is_certain = False
        self._places = presentation_order(self.stream.packets, reorders=self.stream.reorders)
        self._times = self.stream.times
        self.num_frames = len(self._times)
        if num_frames:
            self._set_num_frames(num_frames)
        elif self.stream.begins_midway:
            deque(self.every_frame(), maxlen=0)  # how many packets come before the first frame?

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float(self._times[-1]) + self.stream.frame_seconds

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these numbers; see :meth:`FrameSource.frames`."""
        self._check_range(indices)
        wanted = sorted(set(indices))
        with ffmpeg_errors(self._name):
            try:
                pictures = self._pictures(wanted, resize)
            except _SizeInDoubtError:
                self._take_size_of(next(self._decoder.everything()))
                pictures = self._pictures(wanted, resize)
        return stacked([pictures[index] for index in indices])

    def in_order(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> Iterator[tuple[int, UInt8[np.ndarray, "H W 3"]]]:
        """Decode the video once from its beginning; see :meth:`FrameSource.in_order`."""
        self._check_range(indices)
        waiting = iter(indices)
        wanted = next(waiting, None)
        number = -1
        with ffmpeg_errors(self._name):
            for number, frame in enumerate(self._decoder.everything()):
                if number == 0:
                    self._take_size_of(frame)
                if number == wanted:
                    yield number, self._to_rgb(frame, resize)
                    wanted = next(waiting, None)
                if wanted is None:
                    return
        self._end_early(number + 1)

    def every_frame(self) -> Iterator[av.VideoFrame]:
        """Decode the whole video in the order in which it is shown; convert nothing.

        Afterwards ``num_frames`` is what decoding gives.

        Raises:
            VideoDecodeError: As :meth:`frames`, or if no frame can be decoded.
        """
        num_frames = 0
        with ffmpeg_errors(self._name):
            for frame in self._decoder.everything():
                self._check(frame)
                num_frames += 1
                yield frame
        self._set_num_frames(num_frames)

    def timed_frames(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Decode the whole video; give each frame with the seconds from the first one to it.

        Raises:
            VideoDecodeError: As :meth:`every_frame`.
        """
        for number, frame in enumerate(self.every_frame()):
            beyond = max(0, number - (len(self._times) - 1))  # packets may give further frames
            yield float(self._times[number - beyond]) + beyond * self.stream.frame_seconds, frame

    def _pictures(
        self, wanted: Sequence[int], resize: Resize | None
    ) -> dict[int, UInt8[np.ndarray, "H W 3"]]:
        """Decode frames and convert them.

        Args:
            wanted: Their numbers, rising.
            resize: Scaling.
        """
        pictures: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        if self._places is not None:
            for number, frame in self._decoder.needed(self._places, wanted):
                pictures[number] = self._to_rgb(frame, resize)
        if len(pictures) < len(wanted):
            self._places = None
            number = -1
            for number, frame in enumerate(self._decoder.everything()):
                if number in wanted:
                    pictures[number] = self._to_rgb(frame, resize)
                if number == wanted[-1]:
                    break
            else:
                self._end_early(number + 1)
        return pictures

    def _to_rgb(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Convert a frame, if it is certain to what size."""
        self._check(frame)
        known = self._converter.size
        if known is None:
            is_certain = (frame.height, frame.width) == self.stream.size
        else:
            is_certain = self._size_is_certain or self._converter.size_of(frame) == known
        if not is_certain:
            raise _SizeInDoubtError
        return self._converter.convert(frame, resize)

    def _take_size_of(self, first: av.VideoFrame) -> None:
        self._converter.size = self._converter.size_of(first)
        self._size_is_certain = True

    def _check(self, frame: av.VideoFrame) -> None:
        if frame.width * frame.height > MAX_PIXELS:
            size = f"{frame.width} × {frame.height}"
            raise VideoDecodeError.of(
                self._name, f"its frames of {size} are too large", "too_large"
            )
        if self._strict and frame.is_corrupt:
            raise damaged_frame(self._name)

    def _end_early(self, num_frames: int) -> NoReturn:
        """Put the number of frames right, and say so."""
        self._set_num_frames(num_frames)
        raise FewerFramesError(f"'{self._name}' ends after {num_frames} frames.")

    def _set_num_frames(self, num_frames: int) -> None:
        """Put the number of frames right, once decoding has told it."""
        if num_frames == 0:
            reason = f"none of its {self.num_frames} frames can be decoded"
            raise VideoDecodeError.of(self._name, reason, "zero_frames")
        if num_frames == self.num_frames:
            return
        self._places = None
        self._times = _fitted(
            self.stream.times, num_frames, self.stream.frame_seconds,
            at_end=self.stream.begins_midway,
        )  # fmt: skip
        self.num_frames = num_frames


def _fitted(
    times: Float64[np.ndarray, " packets"], num_frames: int, frame_seconds: float, *, at_end: bool
) -> Float64[np.ndarray, " num_frames"]:
    """Choose the times of the packets that gave frames.

    Args:
        times: Of all packets.
        num_frames: Frames there are.
        frame_seconds: How far apart further frames are, should there be more of them than packets.
        at_end: The packets that gave none are those at the beginning.
    """
    if num_frames <= len(times):
        chosen = times[len(times) - num_frames :] if at_end else times[:num_frames]
        return chosen - chosen[0]
    further = np.arange(1, num_frames - len(times) + 1) * frame_seconds
    return np.concatenate([times, times[-1] + further])
