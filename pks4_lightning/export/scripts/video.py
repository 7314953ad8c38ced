"""The frames of a video, upright and in the order of their times."""

from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

SIDE_DATA: Any = SideDataContainer  # frame.side_data would keep the frame in memory


def decode(path: str | Path) -> Any:
    """Yield the frames of a video; joined recordings, whose clocks begin again, go on in time."""
    with av.open(str(path)) as container:
        last, end, shift, is_empty = -np.inf, -np.inf, 0, True
        if not container.streams.video:
            raise av.FFmpegError(0, "No video stream", str(path))
        for packet in container.demux(container.streams.best("video")):
            if packet.pts is not None and packet.dts is not None:
                if packet.is_keyframe and packet.dts < last:
                    shift, last = end - packet.pts, packet.dts
                last, packet.pts = max(last, packet.dts), packet.pts + shift
                end = max(end, packet.pts + packet.duration)
            for frame in packet.decode():
                is_empty = False
                yield frame
        if is_empty:
            raise av.FFmpegError(0, "No frames", str(path))


def orientation(frame: Any) -> tuple[int, ...]:
    """Return the numbers a, b, c, d of a frame's display matrix."""
    try:
        matrix = SIDE_DATA(frame).get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV does not know all kinds of side data; the angle is known without them
        a, b = ((1, 0), (0, -1), (-1, 0), (0, 1))[round(frame.rotation / 90) % 4]
        return a, b, -b, a
    return tuple(np.frombuffer(matrix, np.int32)[[0, 1, 3, 4]]) if matrix else (1, 0, 0, 1)


def picture(frame: Any, resize: Any) -> np.ndarray:
    """Return a frame in RGB, H W 3, scaled, turned and mirrored as its display matrix says."""
    a, b, c, d = orientation(frame)
    lies = abs(c) > abs(a)  # a pixel at (x, y) is shown at (ax + cy, bx + dy)
    stored = frame.height, frame.width
    if isinstance(resize, int):  # the shorter side
        resize = [round(side * resize / min(stored)) for side in stored[:: -1 if lies else 1]]
    height, width = resize[::-1] if lies else resize
    layout = "rgb24" if (height, width) == stored else "gbrp"
    pixels = frame.reformat(width, height, layout, interpolation="BILINEAR").to_ndarray()
    pixels, down, right = (pixels.swapaxes(0, 1), b, c) if lies else (pixels, d, a)
    return pixels[:: 1 if down > 0 else -1, :: 1 if right > 0 else -1]
