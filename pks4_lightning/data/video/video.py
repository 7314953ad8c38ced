"""Frames of an encoded video by their number, decoded with PyAV.

Headers are not asked how many frames there are (WebM says 0, others may lie): packets are counted,
and the count is put right when decoding ends early. The file is read once. Where its packets say
which frames depend on which, only those that the wanted frames need are decoded; elsewhere all up
to the last one wanted. Only wanted frames are converted to RGB and scaled.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.container import MAX_PIXELS
from pks4_lightning.data.video.conversion import RgbConverter, stacked
from pks4_lightning.data.video.decoder import Decoder
from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError, ffmpeg_errors
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.data.video.packets import presentation_order
from pks4_lightning.data.video.stream import read_stream

__all__ = ["Video"]


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
        self._stream = read_stream(source, self._name, strict=strict)
        self._decoder = Decoder(self._stream)
        self._converter = RgbConverter(apply_rotation=apply_rotation)
        self._places = presentation_order(self._stream.packets)
        self._times = self._stream.times
        self.num_frames = len(self._times)
        if num_frames is not None and 0 < num_frames < self.num_frames:
            self._shorten(num_frames)

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self._name

    @property
    def duration(self) -> float:
        """Seconds from the first frame's start to the last frame's end."""
        return float(self._times[-1]) + self._stream.frame_seconds

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these numbers; see :meth:`FrameSource.frames`."""
        self._check_range(indices)
        wanted = sorted(set(indices))
        pictures: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
        with ffmpeg_errors(self._name):
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
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise VideoDecodeError.of(self._name, "its frames are of different sizes")
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
                if number == wanted:
                    yield number, self._to_rgb(frame, resize)
                    wanted = next(waiting, None)
                if wanted is None:
                    return
        self._end_early(number + 1)

    def _to_rgb(self, frame: av.VideoFrame, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        if frame.width * frame.height > MAX_PIXELS:
            size = f"{frame.width} × {frame.height}"
            raise VideoDecodeError.of(self._name, f"its frames of {size} are too large")
        if self._strict and frame.is_corrupt:
            raise VideoDecodeError.of(self._name, "the decoder finds a frame damaged")
        return self._converter.convert(frame, resize)

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
