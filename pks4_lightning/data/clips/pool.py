"""Draw clips from a finite set of frames and views, so that their tokens can be cached."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.clips.sampling import spread_frames
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.ranges import check_at_least

__all__ = ["ClipPool", "PooledFrames"]


@dataclass(frozen=True)
class ClipPool:
    """The set that the clips of a video are drawn from. By default: all frames, unlimited views.

    Args:
        num_frames: Number of frames, evenly spread over a video, that its clips are drawn from, in
            all stages. ``null``: all of them.
        num_views: Number of random augmentations (crop, flip, colour) of a training video, the same
            in every run, whatever its seed. ``null``: a new one for every clip.

    Raises:
        ValueError: If a number is not positive.
    """

    num_frames: int | None = None
    num_views: int | None = None

    def __post_init__(self) -> None:
        numbers = {"num_frames": self.num_frames, "num_views": self.num_views}
        check_at_least(1, {f"data.pool.{name}": number for name, number in numbers.items()})


class PooledFrames(FrameSource):
    """A video reduced to some of its frames, evenly spread.

    Args:
        video: The video.
        num_frames: Number of frames. A video with fewer repeats some of them, in order.
    """

    def __init__(self, video: FrameSource, num_frames: int) -> None:
        self.video = video
        self.num_frames = num_frames

    @property
    def times(self) -> np.ndarray:
        """When each frame is shown, in seconds from the first frame of the video."""
        return self.video.times[self._numbers()]

    @property
    def duration(self) -> float:
        """Seconds."""
        return float(self.video.duration)

    @property
    def name(self) -> str:
        """Name used in messages."""
        return self.video.name

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        """Decode the frames with these indices; see :meth:`FrameSource.frames`."""
        self._check_range(indices)
        numbers = self._numbers()
        return self.video.frames([numbers[index] for index in indices], resize)

    def _numbers(self) -> list[int]:
        # recomputed on every call, because decoding may correct the video's number of frames
        return list(spread_frames(range(self.video.num_frames), self.num_frames))
