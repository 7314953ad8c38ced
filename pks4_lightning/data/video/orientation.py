"""How a picture is rotated and mirrored for display."""

import math
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer, Type
from jaxtyping import UInt8
from PIL import Image
from PIL.ExifTags import Base

__all__ = ["UPRIGHT", "Orientation", "exif_orientation", "frame_orientation"]

# frame.side_data is such an object too, but frame and object refer to each other: memory that only
# Python's garbage collector frees
_side_data: Callable[[av.VideoFrame], Mapping[Type, Buffer]] = cast(Any, SideDataContainer)
_EXIF_MARKS = (b"Exif", b"eXIf", b"EXIF", b"exif", b"Orientation")


class Orientation(NamedTuple):
    """One of the eight orientations of a rectangle."""

    quarters: int = 0
    """Counter-clockwise quarter turns, from 0 to 3."""
    mirrored: bool = False
    """Whether left and right are swapped afterwards."""

    @property
    def degrees(self) -> int:
        """The counter-clockwise rotation, from -90 to 180."""
        return (0, 90, 180, -90)[self.quarters]

    @property
    def swaps_sides(self) -> bool:
        """Whether height and width are exchanged."""
        return self.quarters % 2 == 1

    def apply(self, picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H2 W2 3"]:
        """Rotate and mirror a picture; the result is a view."""
        if self.quarters:
            picture = np.rot90(picture, self.quarters)
        return picture[:, ::-1] if self.mirrored else picture


UPRIGHT = Orientation()
# EXIF 2.32, tag 274
_EXIF_ORIENTATIONS = {
    2: Orientation(0, True),
    3: Orientation(2),
    4: Orientation(2, True),
    5: Orientation(3, True),
    6: Orientation(3),
    7: Orientation(1, True),
    8: Orientation(1),
}


def frame_orientation(frame: av.VideoFrame) -> Orientation:
    """Return the orientation given by the display matrix of a decoded frame.

    The matrix maps a pixel at (x, y) to (a·x + c·y, b·x + d·y). Other angles are rounded to the
    nearest quarter turn.
    """
    try:
        matrix = _side_data(frame).get(Type.DISPLAYMATRIX)
    except ValueError:
        # PyAV does not know all kinds of side data; the angle is available without them
        return Orientation(round(frame.rotation / 90) % 4)
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(matrix), np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c
    return Orientation(round(math.degrees(math.atan2(-b, a)) / 90) % 4, mirrored)


def exif_orientation(encoded: bytes) -> Orientation:
    """Return the orientation in the metadata of a picture, as in Pillow's ``exif_transpose``."""
    if not any(mark in encoded for mark in _EXIF_MARKS):
        return UPRIGHT
    try:
        with Image.open(BytesIO(encoded)) as picture:
            tag = picture.getexif().get(Base.Orientation)
    except Exception:
        return UPRIGHT  # with damaged metadata, a picture stays as stored
    return _EXIF_ORIENTATIONS.get(tag or 1, UPRIGHT)
