"""Draw clips as rows of frames.

Dimensions:
    N: clips
    T: frames
    H, W: pixels
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from pks4_lightning.pictures.style import COLOURS, RIGHT, WRONG, new_figure, written

__all__ = ["contact_sheet"]

_FRAME_INCHES = 1.1
_LINE_INCHES = 0.17
_GAP_INCHES = 0.14
_INK = {RIGHT: COLOURS[0], WRONG: COLOURS[1]}


def contact_sheet(
    clips: UInt8[np.ndarray, "N T H W 3"], titles: Sequence[str], *, max_frames: int = 8
) -> Figure:
    """Draw every clip as a row of frames, in time from left to right, below its title.

    Args:
        clips: RGB.
        titles: One per clip, of any number of lines; a line that begins with ✓ or ✗ is coloured
            as correct or wrong.
        max_frames: Maximum number of frames in a row; longer clips are sampled evenly, including
            the first and the last frame.

    Returns:
        The figure, as high as the rows require.

    Raises:
        ValueError: If there is no clip, or not exactly one title per clip.
    """
    if len(clips) != len(titles) or not len(clips):
        raise ValueError(
            f"A contact sheet needs clips and a title for each, "
            f"got {len(clips)} clips and {len(titles)} titles."
        )
    num_frames, height, width = clips.shape[1:4]
    shown = np.linspace(0, num_frames - 1, min(num_frames, max_frames)).round().astype(int)
    strips = [_strip(clip[shown]) for clip in clips]
    strip_width = max(len(shown), 4) * _FRAME_INCHES
    strip_height = _FRAME_INCHES * height / width
    heights = [len(title.splitlines()) * _LINE_INCHES + strip_height for title in titles]
    page_width = strip_width + 2 * _GAP_INCHES
    page_height = sum(heights) + _GAP_INCHES * (len(clips) + 1)
    figure = new_figure(page_width, page_height, arranged=False)
    top = page_height - _GAP_INCHES
    for strip, title in zip(strips, titles, strict=True):
        for line in title.splitlines():
            figure.text(
                _GAP_INCHES / page_width,
                (top - _LINE_INCHES / 2) / page_height,
                written(line, most=200),
                color=_INK.get(line[:1], "black"),
                fontsize=8.5,
                fontweight="normal" if line[:1] in _INK else "bold",
                va="center",
            )
            top -= _LINE_INCHES
        axes = figure.add_axes(
            (
                _GAP_INCHES / page_width,
                (top - strip_height) / page_height,
                len(shown) * _FRAME_INCHES / page_width,
                strip_height / page_height,
            )
        )
        axes.imshow(strip, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        top -= strip_height + _GAP_INCHES
    return figure


def _strip(frames: UInt8[np.ndarray, "T H W 3"]) -> UInt8[np.ndarray, "H across 3"]:
    """Join frames side by side with a white gap between them."""
    seam = max(1, frames.shape[2] // 40)
    padded = np.pad(frames, ((0, 0), (0, 0), (0, seam), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)[:, :-seam]
