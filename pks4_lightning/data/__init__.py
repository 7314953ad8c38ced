"""Turn video files and annotations into batches of clips."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.data.annotations.reading import VideoList
    from pks4_lightning.data.clips.flexible import FlexibleScales
    from pks4_lightning.data.clips.sampling import (
        CentredSegmentClipSampler,
        RandomSegmentClipSampler,
        SegmentClipSampler,
    )
    from pks4_lightning.data.clips.transforms import Augmentation
    from pks4_lightning.data.datamodule import VideoDataModule
    from pks4_lightning.data.video.errors import VideoDecodeError
    from pks4_lightning.data.video.frame_folder import FrameFolder
    from pks4_lightning.data.video.video import Video
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Augmentation",
    "CentredSegmentClipSampler",
    "FlexibleScales",
    "FrameFolder",
    "RandomSegmentClipSampler",
    "SegmentClipSampler",
    "Video",
    "VideoDataModule",
    "VideoDecodeError",
    "VideoList",
]
