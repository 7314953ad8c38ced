"""Clips with a fixed frame rate, as in a stream."""

import torch

from pks4_lightning.data.clips.sampling import CountedClipSampler
from pks4_lightning.data.video.frame_source import FrameSource

__all__ = ["RateClipSampler"]


class RateClipSampler(CountedClipSampler):
    """Clips whose frames have a fixed interval in time, as in a stream.

    Clip k of n begins at (k + 1) / (n + 1) of the difference between video and clip duration. If
    the video is shorter than the clip, its last frame is repeated.

    Args:
        num_frames: Frames per clip.
        rate: Frames per second.
        begins_anywhere: Draw the start at random, for training.
        num_clips: Clips per video.
        num_crops: Spatial crops per clip.

    Raises:
        ValueError: If one of them is not positive.
    """

    def __init__(
        self,
        num_frames: int,
        *,
        rate: float,
        begins_anywhere: bool = False,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> None:
        super().__init__(num_frames, num_clips=num_clips, num_crops=num_crops)
        if not rate > 0:
            raise ValueError(f"data.frame_rate is {rate:g}; it must be above 0 frames per second.")
        self.rate = rate
        self.begins_anywhere = begins_anywhere

    def frames_of(
        self, video: FrameSource, clip_index: int, draw: torch.Generator
    ) -> tuple[int, ...]:
        """Choose the frame that is on screen at each tick of the clip's clock."""
        room = max(0.0, float(video.times[-1]) - (self.num_frames - 1) / self.rate)
        share = (clip_index + 1) / (self.num_clips + 1)
        if self.begins_anywhere:
            share = float(torch.rand((), generator=draw, dtype=torch.float64))
        return video.frames_at([share * room + t / self.rate for t in range(self.num_frames)])
