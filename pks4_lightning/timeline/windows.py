"""Divide a long video into overlapping windows, decoded once from beginning to end.

Dimensions:
    T: frames of a window
    H, W: pixels
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.video.conversion import stacked
from pks4_lightning.data.video.frame_source import FrameSource, Resize

__all__ = ["Window", "check_window", "num_ticks", "plan_ticks", "plan_windows", "window_clips"]

# starts and ends are sums of strides; a frame that begins exactly there belongs to the window
_TOLERANCE = 1e-6
_SHORTEST = 1e-3


class Window(NamedTuple):
    """A span of a video, and the frames that represent it."""

    start: float
    """Seconds from the video's first frame."""
    end: float
    frames: tuple[int, ...]
    """Frame indices, increasing; some repeat if the span has too few frames."""


def plan_windows(
    video: FrameSource, *, num_frames: int, window: float, stride: float
) -> list[Window]:
    """Place windows over a video.

    Window k begins at ``k * stride`` seconds. The last one is the first that reaches the end, and
    ends there; a video shorter than a window is one window. Each uses the middle frame of each of
    ``num_frames`` equal parts of its frames, as a validation clip does for a whole video.

    Args:
        video: Provides the times of its frames.
        num_frames: Frames per window.
        window: Length of a window in seconds.
        stride: Seconds between the starts of windows.

    Raises:
        ValueError: If window or stride is not positive, or a window is shorter than a frame.
    """
    check_window(window=window, stride=stride)
    _check_length(video, window)
    windows = []
    start = 0.0
    while True:
        end = min(start + window, video.duration)
        span = video.frames_between(start, end)
        chosen = tuple(span[len(span) * (2 * t + 1) // (2 * num_frames)] for t in range(num_frames))
        windows.append(Window(start, end, chosen))
        if end >= video.duration - _TOLERANCE:
            return windows
        start = len(windows) * stride
        if start >= video.duration - _TOLERANCE:  # a stride longer than the window
            return windows


def plan_ticks(video: FrameSource, *, num_frames: int, window: float) -> list[Window]:
    """Place contiguous windows over a video, with a frame at every tick of a uniform clock.

    Tick ``i`` of the video is ``(i + 0.5) * window / num_frames`` seconds after its first frame and
    uses the frame on screen then. Ticks of the last window after the end use the last frame;
    :func:`num_ticks` counts those before the end.

    Args:
        video: Provides the times of its frames.
        num_frames: Ticks per window.
        window: Length of a window in seconds.

    Raises:
        ValueError: If the window is not positive, or shorter than a frame.
    """
    check_window(window=window)
    _check_length(video, window)
    tick = window / num_frames
    count = -(-num_ticks(video, tick) // num_frames)
    return [
        Window(
            k * window,
            min((k + 1) * window, video.duration),
            video.frames_at([k * window + (t + 0.5) * tick for t in range(num_frames)]),
        )
        for k in range(count)
    ]


def num_ticks(video: FrameSource, tick: float) -> int:
    """Return how many ticks of a uniform clock begin before a video ends, at least one.

    Args:
        video: The video.
        tick: Seconds between ticks.
    """
    return max(1, math.ceil(video.duration / tick - _TOLERANCE))


def check_window(**seconds: float) -> None:
    """Check lengths of time.

    Args:
        seconds: Lengths in seconds, by name.

    Raises:
        ValueError: If one is not positive, or is less than a millisecond, to which times in the
            results are rounded.
    """
    for name, value in seconds.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value:g}; it must be a positive number of seconds.")
        if value < _SHORTEST:
            raise ValueError(f"{name} is {value:g}; it must be at least {_SHORTEST:g} seconds.")


def window_clips(
    video: FrameSource, windows: Sequence[Window], resize: Resize | None
) -> Iterator[tuple[Window, UInt8[Tensor, "T H W 3"]]]:
    """Decode the windows of a video in order.

    The video is decoded once, each frame that a window needs is converted once, and only frames
    needed by a later window are kept.

    Args:
        video: The video.
        windows: From :func:`plan_windows`, or a selection of them in order.
        resize: Scaling of the frames.

    Yields:
        Each window with its RGB frames.
    """
    needed = np.unique([number for window in windows for number in window.frames])
    pictures = video.in_order(needed.tolist(), resize)
    kept: dict[int, UInt8[np.ndarray, "H W 3"]] = {}
    for window in windows:
        while not kept or max(kept) < window.frames[-1]:
            number, picture = next(pictures)
            kept[number] = picture
        kept = {number: kept[number] for number in kept if number >= window.frames[0]}
        yield window, stacked([kept[number] for number in window.frames])


def _check_length(video: FrameSource, window: float) -> None:
    # pauses between bursts of frames say nothing about a frame
    steps = np.diff(video.times, append=video.duration)
    frame_seconds = float(np.median(steps))
    if window < frame_seconds - _TOLERANCE:
        raise ValueError(
            f"window is {window:g} s, but a frame of '{video.name}' lasts {frame_seconds:.3g} s: "
            "a window must be at least one frame long."
        )
