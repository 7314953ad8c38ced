"""Choose the clip samplers of training, validation, testing and predicting."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from pks4_lightning.batch import Stage
from pks4_lightning.data.clips.fixed_rate import RateClipSampler
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler, RandomSegmentClipSampler
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler

__all__ = ["stage_samplers"]


def stage_samplers(
    num_frames: int,
    *,
    frame_rate: float | None,
    num_clips: int = 1,
    num_crops: int = 1,
    given: Mapping[str, ClipSampler | None] = MappingProxyType({}),
) -> dict[Stage, ClipSampler]:
    """Return the clip sampler of each stage.

    Args:
        num_frames: Frames per clip.
        frame_rate: Frames per second; ``None`` spreads a clip over the whole video.
        num_clips: Clips per video in testing and predicting.
        num_crops: Crops per clip, likewise.
        given: Samplers that replace ours; predicting uses that of testing.

    Raises:
        ValueError: If a number is not positive.
    """
    fixed: Callable[..., ClipSampler] = CentredSegmentClipSampler
    training: ClipSampler = RandomSegmentClipSampler(num_frames)
    if frame_rate is not None:
        fixed = partial(RateClipSampler, rate=frame_rate)
        training = RateClipSampler(num_frames, rate=frame_rate, begins_anywhere=True)
    testing = given.get("test") or fixed(num_frames, num_clips=num_clips, num_crops=num_crops)
    return {
        "train": given.get("train") or training,
        "val": given.get("val") or fixed(num_frames),
        "test": testing,
        "predict": testing,
    }
