"""Videos stored as folders of numbered pictures, such as ``00001.jpg``."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.container import MAX_PIXELS
from pks4_lightning.data.video.conversion import RgbConverter, stacked, upright_size
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.frame_source import Resize, UntimedFrames, resized
from pks4_lightning.data.video.orientation import exif_orientation

__all__ = ["PICTURE_SUFFIXES", "FrameFolder", "check_frame_template"]

_CODECS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png", ".webp": "webp"}
PICTURE_SUFFIXES = frozenset(_CODECS)

_MAX_BYTES = 64 * 2**20
_JPEG_END = b"\xff\xd9"


class FrameFolder(UntimedFrames):
    """A folder of numbered pictures, read like a video.

    Pictures are counted from the lowest number, usually 0 or 1. A gap is refused, because a missing
    frame would shift all later ones. Pictures are rotated according to their EXIF tags.

    Args:
        folder: The folder of the pictures: JPEG, PNG or WebP.
        template: File name of a picture, with a format field for its number: ``img_{:05d}.jpg``.
            Needed only if the folder has several series, such as frames and optical flow.
        num_frames: Required number of pictures; further ones are ignored. ``None`` uses all.

    Raises:
        VideoDecodeError: If pictures are missing, have gaps, or are fewer than required.
    """

    def __init__(
        self, folder: str | Path, *, template: str | None = None, num_frames: int | None = None
    ) -> None:
        self._folder = str(folder)
        self._converter = RgbConverter(apply_rotation=False)
        self._files = self._series(template)
        if num_frames is not None and len(self._files) < num_frames:
            raise self._error(
                f"it holds {len(self._files)} of the {num_frames} frames that its list gives"
            )
        self._files = self._files[:num_frames]
        self.num_frames = len(self._files)

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self._folder

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the pictures with these indices; see :meth:`FrameSource.frames`."""
        self._check_range(indices)
        pictures = {index: self._picture(self._files[index], resize) for index in set(indices)}
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise self._error("its frames are not all of the same size")
        return stacked([pictures[index] for index in indices])

    def _error(self, reason: str) -> VideoDecodeError:
        return VideoDecodeError.of(self._folder, reason)

    def _series(self, template: str | None) -> list[str]:
        """Return the file names of the pictures, in numerical order."""
        wanted = None if template is None else check_frame_template(template)
        series: dict[tuple[str, str], list[tuple[int, str]]] = {}
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - millions of names
        except OSError as error:
            raise self._error(f"it cannot be listed ({error.strerror})") from None
        for name in names:
            match = re.fullmatch(r"(.*?)(\d+)(\.\w+)", name)
            if match is None or match[3].lower() not in PICTURE_SUFFIXES or name.startswith("."):
                continue
            key = (match[1], match[3])
            if wanted is None or key == wanted:
                series.setdefault(key, []).append((int(match[2]), name))
        if not series:
            named = "numbered pictures" if template is None else f"pictures such as '{template}'"
            raise self._error(f"it contains no {named}")
        if len(series) > 1:
            kinds = " and ".join(f"'{one}…{other}'" for one, other in sorted(series)[:2])
            raise self._error(f"it contains {kinds}; choose with data.frame_template")
        numbered = sorted(*series.values())
        for number, (found, name) in enumerate(numbered, start=numbered[0][0]):
            if found != number:
                raise self._error(f"frame {number} is missing or duplicated, before '{name}'")
        return [name for _, name in numbered]

    def _picture(self, name: str, resize: Resize | None) -> UInt8[np.ndarray, "H W 3"]:
        """Read one file; passing bytes to FFmpeg prevents it from opening other files."""
        path = Path(self._folder, name)
        try:
            data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        except OSError as error:
            raise self._error(f"'{name}' cannot be read ({error.strerror})") from None
        codec = _CODECS[path.suffix.lower()]
        if not data:
            raise self._error(f"'{name}' is empty or larger than {_MAX_BYTES >> 20} MiB")
        if codec == "mjpeg" and _JPEG_END not in data[-1024:]:
            raise self._error(f"'{name}' is cut short")
        decoder = CodecContext.create(codec, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
        decoder.thread_count = 1
        try:
            shown = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        except (av.error.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no valid picture"
            raise self._error(f"'{name}' cannot be decoded ({reason.lower()})") from error
        if len(shown) != 1:
            raise self._error(f"'{name}' contains {len(shown)} pictures")
        orientation = exif_orientation(data)
        size = resized(*upright_size(shown[0], orientation), resize)
        return self._converter.convert_to(size, shown[0], orientation)


def check_frame_template(template: str) -> tuple[str, str]:
    """Return the parts of a file name template before and after the number.

    Args:
        template: Such as ``img_{:05d}.jpg``.

    Raises:
        ValueError: If it has not exactly one field for a number, or names no picture.
    """
    match = re.fullmatch(r"([^{}/]*?)\{:?0?\d*d?\}(\.\w+)", template)
    if match is None or match[2].lower() not in PICTURE_SUFFIXES:
        raise ValueError(
            f"data.frame_template is '{template}'; it must be the name of a picture "
            f"({', '.join(sorted(PICTURE_SUFFIXES))}) with one field for its number, such as "
            "'img_{:05d}.jpg'."
        )
    return match[1], match[2]
