"""Choose the frames of clips, with pytorchvideo's ``ClipSampler`` interface.

A ``ClipSampler`` is called repeatedly for the next clip of a video until it marks a clip as the
last one. Its ``aug_index`` is the index of the spatial crop. The samplers here spread the frames
over equal segments of the whole video (Wang et al., "Temporal Segment Networks", 2016,
https://arxiv.org/abs/1608.00859), as in the paper's protocols F×clips×crops. Any other sampler
returns a time span, over which the frames are spread evenly, unless it chooses frames itself.
"""

import random
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from fractions import Fraction
from typing import Any, NamedTuple

import torch

from pks4_lightning.data.seeding import generator, stable_seed
from pks4_lightning.data.video.frame_source import FrameSource
from pks4_lightning.data.video.pytorchvideo_compat import ClipInfo, ClipInfoList, ClipSampler
from pks4_lightning.ranges import check_at_least

__all__ = [
    "CentredSegmentClipSampler",
    "CountedClipSampler",
    "RandomSegmentClipSampler",
    "SegmentClipSampler",
    "View",
    "of_length",
    "plan_views",
    "spread_frames",
]


class View(NamedTuple):
    """One clip × one crop of a video."""

    frames: tuple[int, ...]
    clip_index: int
    crop_index: int
    num_crops: int


class CountedClipSampler(ClipSampler):
    """Samplers with a fixed number of clips per video and frames per clip.

    Args:
        num_frames: Frames per clip.
        num_clips: Clips per video.
        num_crops: Spatial crops per clip.

    Raises:
        ValueError: If one of them is not positive.
    """

    def __init__(self, num_frames: int, *, num_clips: int = 1, num_crops: int = 1) -> None:
        # the interface requires a duration; ours is that of the video
        super().__init__(Fraction(0))
        check_at_least(
            1, {"num_frames": num_frames, "num_clips": num_clips, "num_crops": num_crops}
        )
        self.num_frames = num_frames
        self.num_clips = num_clips
        self.num_crops = num_crops
        self._next_clip = 0
        self._next_crop = 0

    @property
    def num_views(self) -> int:
        """Clips times crops, the same for every video."""
        return self.num_clips * self.num_crops

    def __call__(
        self,
        last_clip_time: float | Fraction | None,  # noqa: ARG002 - the interface's
        video_duration: float | Fraction,
        annotation: dict[str, Any],  # noqa: ARG002 - the interface's
    ) -> ClipInfo:
        """Return the next clip, whose frames may come from anywhere in the video.

        Args:
            last_clip_time: Not used: the span of every clip is the whole video.
            video_duration: Seconds.
            annotation: Not used.
        """
        clip_index, crop_index = self._next_clip, self._next_crop
        self._next_crop += 1
        if self._next_crop == self.num_crops:
            self._next_clip, self._next_crop = clip_index + 1, 0
        is_last = self._next_clip == self.num_clips
        if is_last:
            self.reset()
        return ClipInfo(Fraction(0), Fraction(video_duration), clip_index, crop_index, is_last)

    def reset(self) -> None:
        """Start again with the first clip."""
        self._next_clip = 0
        self._next_crop = 0

    @abstractmethod
    def frames_of(
        self, video: FrameSource, clip_index: int, draw: torch.Generator
    ) -> tuple[int, ...]:
        """Choose the frames of a clip.

        Args:
            video: The video, which has frame times.
            clip_index: Index of the clip in the video.
            draw: Source of every random choice.

        Returns:
            ``num_frames`` frame indices in non-decreasing order.
        """


class SegmentClipSampler(CountedClipSampler):
    """Clips with one frame from each of ``num_frames`` equal segments of the video."""

    def frames_of(
        self, video: FrameSource, clip_index: int, draw: torch.Generator
    ) -> tuple[int, ...]:
        """Choose the frames of a clip; see :meth:`select_frames`."""
        return self.select_frames(video.num_frames, clip_index, draw)

    @abstractmethod
    def select_frames(
        self, video_frames: int, clip_index: int, draw: torch.Generator
    ) -> tuple[int, ...]:
        """Choose the frames of a clip.

        Args:
            video_frames: Frames in the video, at least 1.
            clip_index: Index of the clip in the video.
            draw: Source of every random choice.

        Returns:
            ``num_frames`` frame indices in non-decreasing order. If the video has fewer frames,
            each of them appears at least once.
        """


class RandomSegmentClipSampler(SegmentClipSampler):
    """One random frame from each segment, for training.

    If the video has too few frames, every frame appears once and random ones repeat, in order.
    """

    def select_frames(
        self,
        video_frames: int,
        clip_index: int,  # noqa: ARG002 - all clips are drawn in the same way
        draw: torch.Generator,
    ) -> tuple[int, ...]:
        """Draw one frame per segment."""
        missing = self.num_frames - video_frames
        if missing > 0:
            repeats = torch.randint(video_frames, (missing,), generator=draw).tolist()
            return tuple(sorted([*range(video_frames), *repeats]))
        bounds = [t * video_frames // self.num_frames for t in range(self.num_frames + 1)]
        shares = torch.rand(self.num_frames, generator=draw, dtype=torch.float64).tolist()
        return tuple(
            start + int(share * (end - start))
            for start, end, share in zip(bounds, bounds[1:], shares, strict=False)
        )


class CentredSegmentClipSampler(SegmentClipSampler):
    """A fixed frame from each segment, for validation and testing.

    Clip k of n takes the frame at (k + 1) / (n + 1) of every segment: a single clip consists of the
    middle frames, and several clips sample each segment evenly.
    """

    def select_frames(
        self,
        video_frames: int,
        clip_index: int,
        draw: torch.Generator,  # noqa: ARG002 - nothing is random
    ) -> tuple[int, ...]:
        """Return the frame at the clip's position in each segment."""
        parts = self.num_clips + 1
        return tuple(
            video_frames * (t * parts + clip_index + 1) // (self.num_frames * parts)
            for t in range(self.num_frames)
        )


def of_length(sampler: ClipSampler, num_frames: int) -> ClipSampler:
    """Return a copy of a sampler for clips of another length.

    Args:
        sampler: One of this module's, or any other, which returns time spans and needs no change.
        num_frames: Frames per clip.
    """
    if not isinstance(sampler, CountedClipSampler) or sampler.num_frames == num_frames:
        return sampler
    other = copy(sampler)
    other.num_frames = num_frames
    return other


def spread_frames(frames: range, num_frames: int) -> tuple[int, ...]:
    """Choose frames spread evenly over a span, including its first and last one.

    Args:
        frames: Frame indices of the span, at least one.
        num_frames: Number of frames to choose; some repeat if the span has fewer.
    """
    if num_frames == 1:
        return (frames[len(frames) // 2],)
    last = len(frames) - 1
    return tuple(frames[t * last // (num_frames - 1)] for t in range(num_frames))


def plan_views(
    sampler: ClipSampler, video: FrameSource, *, num_frames: int, draw_seed: int
) -> list[View]:
    """Get all clips of a video from a sampler and convert them to frame indices.

    Args:
        sampler: One of this module's, or any other pytorchvideo sampler. Its random draws depend
            only on ``draw_seed``, even if it uses Python's global ``random``.
        video: The video, for its duration and frame times.
        num_frames: Frames per clip.
        draw_seed: Seed of the clip.

    Returns:
        At least one view, in the order of the sampler.

    Raises:
        ValueError: If the sampler returns more than 10,000 clips, or clips of another length.
    """
    clips = _all_clips(sampler, video.duration, draw_seed)
    num_crops = max(clip.aug_index for clip in clips) + 1
    views = []
    for clip in clips:
        if isinstance(sampler, CountedClipSampler):
            draw = generator("frames", draw_seed, clip.clip_index)
            frames = sampler.frames_of(video, clip.clip_index, draw)
        else:
            span = video.frames_between(clip.clip_start_sec, clip.clip_end_sec)
            frames = spread_frames(span, num_frames)
        if len(frames) != num_frames:
            raise ValueError(
                f"{type(sampler).__name__} gives {len(frames)} frames per clip, but num_frames is "
                f"{num_frames}; they must be equal."
            )
        views.append(View(frames, clip.clip_index, clip.aug_index, num_crops))
    return views


def _all_clips(sampler: ClipSampler, duration: float, draw_seed: int) -> list[ClipInfo]:
    """Run a sampler through a video, as pytorchvideo's own dataset does."""
    clips: list[ClipInfo] = []
    sampler.reset()
    end: float | Fraction = 0.0
    with _python_random(stable_seed("sampler", draw_seed)):
        while True:
            given = sampler(end, duration, {})
            if isinstance(given, ClipInfoList):
                clips += [ClipInfo(*fields) for fields in zip(*given, strict=True)]
            else:
                clips.append(given)
            end = clips[-1].clip_end_sec
            if clips[-1].is_last_clip:
                break
            if len(clips) > 10_000:
                raise ValueError(
                    f"{type(sampler).__name__} gave more than 10,000 clips for a video of "
                    f"{duration:.1f} seconds; choose a longer stride."
                )
    sampler.reset()
    return clips


@contextmanager
def _python_random(seed: int) -> Iterator[None]:
    """Seed Python's global generator temporarily: pytorchvideo's random samplers use it."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
