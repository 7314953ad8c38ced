"""Compute a function of all windows of a video in one pass, with rows on disk.

Dimensions:
    B: windows of a batch
    T: frames of a window
    S: side of the square that the model sees
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile
from typing import TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pks4_lightning.data.video.errors import FewerFramesError
from pks4_lightning.data.video.frame_source import FrameSource
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.progress import track
from pks4_lightning.timeline.row_file import RowFile
from pks4_lightning.timeline.windows import Window, window_clips

__all__ = ["Compute", "Plan", "compute_windows"]

Plan: TypeAlias = Callable[[FrameSource], list[Window]]
Compute: TypeAlias = Callable[[Float[Tensor, "B 3 T S S"]], Shaped[Tensor, "rows ..."]]
"""Maps normalised clips to the same number of rows for each, in order."""


def compute_windows(
    model: TrainedClassifier,
    video: FrameSource,
    plan: Plan,
    compute: Compute,
    rows: RowFile,
    *,
    rows_per_window: int = 1,
    batch_size: int,
    show: bool = False,
) -> list[Window]:
    """Compute the rows of all windows of a video, in constant memory.

    The video is decoded once, from its beginning; windows share frames. Existing rows are not
    computed again.

    Args:
        model: Makes clips of frames.
        video: The video. Decoding may correct its number of frames.
        plan: Places windows over it.
        compute: The function of a batch of windows.
        rows: The output file; its blocks are the rows of a batch.
        rows_per_window: Rows per window.
        batch_size: Windows per batch.
        show: Show progress.

    Returns:
        The windows; the file now has ``rows_per_window`` rows for each.

    Raises:
        VideoDecodeError: If the video cannot be decoded.
    """
    windows = plan(video)
    while True:
        rest = windows[rows.num_rows // rows_per_window :]
        clips: Iterator[tuple[Window, Tensor]] = window_clips(video, rest, model.resize)
        if show:
            clips = track(clips, total=len(rest), doing=f"Windows of {video.name}")
        try:
            while batch := list(islice(clips, batch_size)):
                pixels = torch.stack([model.crop(frames) for _, frames in batch])
                rows.append(compute(model.normalise(pixels)).cpu().numpy())
        except FewerFramesError:  # the video now has its correct number of frames
            before, windows = windows, plan(video)
            rows.keep(_num_equal(before, windows) * rows_per_window)
        else:
            return windows


def _num_equal(one: Sequence[Window], other: Sequence[Window]) -> int:
    """Return how many windows at the beginning of two plans are equal."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
