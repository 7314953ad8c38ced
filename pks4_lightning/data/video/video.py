"""Random access to the frames of an encoded video, decoded with PyAV.

Headers are not trusted for the number of frames (WebM says 0, others may be wrong): packets are
counted, and the count is corrected if decoding ends early. The file is read once. If its packets
show which frames depend on which, only those needed for the wanted frames are decoded; otherwise
all frames up to the last wanted one. Only wanted frames are converted to RGB and scaled.
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
    """A frame's size differs from the header's; the size of the first frame must be known first."""


class Video(FrameSource):
    """A video file whose frames are accessed by index.

    Audio is never decoded. The file is closed as soon as its packets have been read. A ``Video``
    must be used by one thread only.

    Args:
        file: Path, or an open binary file, which the caller has to close.
        video_name: Name used in messages; by default the path.
        decode_audio: Part of the interface; must be False.
        apply_rotation: Rotate frames by the file's display matrix, as players do.
        num_frames: Number of frames that decoding gives, if known. It is trusted if the file has as
            many packets; otherwise the file is decoded from the beginning.
        strict: Refuse files whose end is missing, and frames that the decoder marks as damaged.

    Raises:
        VideoDecodeError: If the file is missing, its container or codec is not supported, its
            frames have more than 4096 × 2304 pixels, or it contains no video frames; if ``strict``,
            also if its end is missing.
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
            raise ValueError("decode_audio must be False: this Video does not decode sound.")
        if isinstance(file, (str, PathLike)):
            source: Path | BinaryIO = Path(file).absolute()
            self._name = video_name or str(file)
        else:
            source = file
            self._name = video_name or str(getattr(file, "name", "video"))
        self._strict = strict
        self.stream = read_stream(source, self._name, strict=strict)
        """The packets of the file."""
        self._decoder = Decoder(self.stream)
        self._converter = RgbConverter(apply_rotation=apply_rotation)
        self._size_is_certain = False
        self._places = presentation_order(self.stream.packets, reorders=self.stream.reorders)
        self._times = self.stream.times
        self.num_frames = len(self._times)
        if num_frames:
            self._set_num_frames(num_frames)
        elif self.stream.begins_midway:
            deque(self.every_frame(), maxlen=0)  # counts the packets before the first frame

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the start of the first frame to the end of the last."""
        return float(self._times[-1]) + self.stream.frame_seconds

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these indices; see :meth:`FrameSource.frames`."""
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
        """Decode the whole video in presentation order, without conversion.

        Afterwards ``num_frames`` is the number of decoded frames.

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
        """Decode the whole video; yield each frame with its time in seconds from the first one.

        Raises:
            VideoDecodeError: As :meth:`every_frame`.
        """
        for number, frame in enumerate(self.every_frame()):
            beyond = max(0, number - (len(self._times) - 1))  # packets may give additional frames
            yield float(self._times[number - beyond]) + beyond * self.stream.frame_seconds, frame

    def _pictures(
        self, wanted: Sequence[int], resize: Resize | None
    ) -> dict[int, UInt8[np.ndarray, "H W 3"]]:
        """Decode frames and convert them.

        Args:
            wanted: Their indices, increasing.
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
        """Convert a frame, if the size to convert it to is certain."""
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
        """Correct the number of frames, and raise."""
        self._set_num_frames(num_frames)
        raise FewerFramesError(f"'{self._name}' ends after {num_frames} frames.")

    def _set_num_frames(self, num_frames: int) -> None:
        """Correct the number of frames to the number that decoding gave."""
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
        times: Times of all packets.
        num_frames: Number of frames.
        frame_seconds: Interval between additional frames, if there are more frames than packets.
        at_end: Whether the packets that gave no frame are those at the beginning.
    """
    if num_frames <= len(times):
        chosen = times[len(times) - num_frames :] if at_end else times[:num_frames]
        return chosen - chosen[0]
    further = np.arange(1, num_frames - len(times) + 1) * frame_seconds
    return np.concatenate([times, times[-1] + further])
