"""Decode the frames of a video's views, each frame once."""

from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from pks4_lightning.data.clips.sampling import View, plan_views
from pks4_lightning.data.video.errors import FewerFramesError
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler

__all__ = ["ViewFrames", "read_views"]


class ViewFrames(NamedTuple):
    """A view and its frames, before cropping."""

    view: View
    frames: UInt8[Tensor, "T H W 3"]


def read_views(
    sampler: ClipSampler,
    video: FrameSource,
    *,
    num_frames: int,
    resize: Resize | None,
    draw_seed: int = 0,
) -> list[ViewFrames]:
    """Plan the views of a video and decode the frames that they need, each once.

    Args:
        sampler: Determines the clips and crops of a video.
        video: The video. Decoding may correct its number of frames.
        num_frames: Frames per clip.
        resize: Scaling of the frames.
        draw_seed: Seed of every random choice.

    Raises:
        VideoDecodeError: If the video cannot be decoded.
    """
    while True:
        views = plan_views(sampler, video, num_frames=num_frames, draw_seed=draw_seed)
        needed = sorted({frame for view in views for frame in view.frames})
        try:
            frames = video.frames(needed, resize)
        except FewerFramesError:  # the video now has its correct number of frames
            continue
        break
    position = {frame: place for place, frame in enumerate(needed)}
    read = []
    for view in views:
        chosen = [position[frame] for frame in view.frames]
        # the usual case of a single clip; a copy would take as long as scaling does
        picked = frames if chosen == list(range(len(needed))) else frames[chosen]
        read.append(ViewFrames(view, picked))
    return read
