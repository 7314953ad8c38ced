"""One pass over a video: what a classifier computes of every window, as rows on the disk.

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
"""From normalised clips to the same number of rows for each, in their order."""


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
    """Compute the rows of all windows of a video, in memory that does not grow with its length.

    The video is decoded once, from its beginning; windows share what they have in common. Rows that
    are there already are not computed again.

    Args:
        model: Says how frames are made into clips.
        video: The video. Its number of frames is right afterwards.
        plan: Lays windows over it.
        compute: What is wanted of a batch of windows.
        rows: Where it goes; its blocks are the rows of a batch.
        rows_per_window: Rows that each window gives.
        batch_size: Windows in a batch.
        show: Show how far it is.

    Returns:
        The windows, as many as there are rows now (times ``rows_per_window``).

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
        except FewerFramesError:  # the video knows better now how many it has
            before, windows = windows, plan(video)
            rows.keep(_num_equal(before, windows) * rows_per_window)
        else:
            return windows


def _num_equal(one: Sequence[Window], other: Sequence[Window]) -> int:
    """Return how many windows at the beginning of two plans are the same."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
