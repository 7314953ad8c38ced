"""Copy a video with labels drawn into its frames; number and times of frames are unchanged."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
from av.video.stream import VideoStream
from jaxtyping import UInt8
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from pks4_lightning.data.video.container import open_video
from pks4_lightning.data.video.conversion import RgbConverter
from pks4_lightning.data.video.orientation import frame_orientation
from pks4_lightning.data.video.video import Video
from pks4_lightning.files import atomic_write, check_writable
from pks4_lightning.timeline.sound import CONTAINERS, SoundCopy, check_sound

__all__ = ["Caption", "check_overlay", "draw_caption", "write_overlay"]

Caption: TypeAlias = Sequence[tuple[str, float]]
"""Labels with scores from 0 to 1, best first."""

_MOST_LABELS = 3
_INK, _PAPER, _BAR = (255, 255, 255), (0, 0, 0, 150), (90, 170, 255, 200)


def write_overlay(source: Path, out: Path, caption_at: Callable[[float], Caption]) -> int:
    """Write a video with captions; sound is copied.

    Args:
        source: The video.
        out: The file to write, whose suffix selects the container: ``.mp4``, ``.mkv`` or ``.mov``.
            It appears when it is complete.
        caption_at: Returns the caption of the frame at a time, in seconds from the first one.

    Returns:
        The number of frames.

    Raises:
        ValueError: If the suffix is not supported, the source is not a file, the container cannot
            hold the sound, or the copy cannot be encoded.
        FileExistsError: If the file already exists.
        OSError: If nothing can be written there.
        VideoDecodeError: If the source cannot be read.
    """
    check_overlay(source, out)
    video = Video(source)
    with (
        atomic_write(out) as unfinished,
        open_video(source, str(source)) as (container, stream),
        _errors_of(out),
        av.open(str(unfinished), "w") as written,
    ):
        time_base = stream.time_base or Fraction(1, 1000)
        pictures = written.add_stream("libx264", rate=stream.average_rate or 25)
        pictures.pix_fmt = "yuv420p"
        pictures.codec_context.time_base = time_base
        pictures.codec_context.options = {"crf": "18", "preset": "veryfast"}
        sound = SoundCopy(container, written)
        converter = RgbConverter(apply_rotation=True)
        number, first, last = 0, 0, None
        for number, (seconds, frame) in enumerate(video.timed_frames(), start=1):
            picture = draw_caption(converter.convert(frame, None), caption_at(seconds))
            if number == 1:
                pictures.height, pictures.width = picture.shape[:2]
                pictures.codec_context.sample_aspect_ratio = _pixel_aspect(stream, frame)
                first = frame.pts or 0  # offset between sound and pictures
            drawn = av.VideoFrame.from_ndarray(picture, format="rgb24")
            stamp = first + round(seconds / time_base)
            # FFmpeg gives some frames of an MPEG program stream the time of the one before
            last = stamp if last is None else max(stamp, last + 1)
            drawn.pts, drawn.time_base = last, time_base
            written.mux(pictures.encode(drawn))
            sound.copy_until(float(last * time_base))
        written.mux(pictures.encode())
        sound.copy_until(math.inf)
    return number


def check_overlay(source: Path, out: Path) -> None:
    """Check that an overlay can be written.

    Args:
        source: The video.
        out: The copy.

    Raises:
        ValueError: If its suffix is not supported, the source is not a file, or the container
            cannot hold the sound.
        FileExistsError: If it already exists.
        OSError: If nothing can be written there.
        VideoDecodeError: If the source cannot be read.
    """
    if out.suffix.lower() not in CONTAINERS:
        raise ValueError(f"--overlay is '{out}'; it must end in .mp4, .mkv or .mov.")
    if source.is_dir():
        raise ValueError(
            f"--overlay copies a video file, but '{source}' is a folder of pictures; leave it out."
        )
    if out.exists():
        raise FileExistsError(
            f"--overlay is '{out}', which already exists; choose another file or delete it."
        )
    if source.is_file():  # neither a camera nor an address
        check_sound(source, out)
    check_writable(out.parent, what="copy", option="--overlay")


@contextmanager
def _errors_of(out: Path) -> Iterator[None]:
    """Name the copy in errors of its encoder and container, which do not."""
    try:
        yield
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(
            f"The copy '{out}' cannot be written: {reason[:1].lower()}{reason[1:]}."
        ) from error


def _pixel_aspect(stream: VideoStream, frame: av.VideoFrame) -> Fraction:
    """Return width over height of a pixel in the upright picture; 0 if it is unknown."""
    aspect = stream.sample_aspect_ratio or Fraction(0)
    return 1 / aspect if aspect and frame_orientation(frame).swaps_sides else aspect


def draw_caption(
    picture: UInt8[np.ndarray, "H W 3"], caption: Caption
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw labels into the lower left corner of a picture, each on a bar as long as its score.

    Args:
        picture: RGB.
        caption: The labels; at most three are drawn, and none into a picture narrower than them.

    Returns:
        The picture with even sides, as required by encoders: an odd row or column is cut off.
    """
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    image = Image.fromarray(np.ascontiguousarray(picture[:height, :width])).convert("RGBA")
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    size = max(9, height // 22)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
    line, left = round(1.5 * size), size // 2
    room = width - 2 * left
    shown = caption[:_MOST_LABELS] if room > 0 else []
    for place, (label, score) in enumerate(shown):
        top = height - line * (len(shown) - place) - left
        draw.rectangle((left, top, left + room, top + line - 2), fill=_PAPER)
        draw.rectangle((left, top, left + round(room * score), top + line - 2), fill=_BAR)
        text = _fitting(f"{score:4.0%}  {label}", font, room - size)
        draw.text((left + size // 2, top + line / 2 - 1), text, _INK, font, anchor="lm")
    return np.asarray(Image.alpha_composite(image, layer).convert("RGB"))


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Shorten a line until it fits."""
    text = " ".join(text.split(" ")).replace("\n", " ")
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
