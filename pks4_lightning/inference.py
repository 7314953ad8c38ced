"""A trained classifier in a program of your own: from a file to labels in two lines.

Dimensions:
    N: videos
    B: clips
    T: frames
    H, W: pixels
    S: side of the square that the model sees
    D: width of a frame's vector
    K: classes
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias, overload

import av
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler
from pks4_lightning.data.clips.transforms import crop_clip, spatial_crop_box
from pks4_lightning.data.video.conversion import RgbConverter, stacked
from pks4_lightning.data.video.frame_folder import FrameFolder
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.data.video.video import Video
from pks4_lightning.models.pretrained import ClipInput
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.checkpoints.trained import load_trained
from pks4_lightning.training.scoring.accuracy import mean_over_views
from pks4_lightning.training.scoring.predictions import Label, best_labels

__all__ = ["TrainedClassifier", "VideoInput", "load"]

_FRAMES_PER_SECOND = 25  # of frames without times; nothing here depends on it

VideoInput: TypeAlias = (
    str | os.PathLike[str] | UInt8[np.ndarray, "T H W 3"] | UInt8[Tensor, "T H W 3"]
)
"""A video file, a folder of numbered pictures, or RGB frames, all of a video's or some of them."""


def load(
    source: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> "TrainedClassifier":
    """Load a trained classifier. It needs neither a network nor what it was trained with.

    Args:
        source: A checkpoint of `pks4 fit`, or a folder of `pks4 export-weights`. Reading it runs no
            code that is in it.
        device: Where to compute. ``None``: on a GPU if there is one.
        dtype: What to compute in: ``torch.bfloat16`` is faster on a GPU, by autocast.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If it is damaged, or no file of ours.

    Example:
        ::

            model = pks4_lightning.load("runs/demo/pks4/checkpoints/best.ckpt")
            for label, score in model.predict("clip.mp4", num_best=3):
                print(f"{score:.1%}  {label}")
    """
    classifier, clip = load_trained(os.fspath(source))
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return TrainedClassifier(classifier, clip, device=torch.device(device), dtype=dtype)


class TrainedClassifier:
    """A classifier with what it takes to feed it videos and to read its answers.

    Args:
        classifier: Used as it is; in evaluation mode.
        clip: What it is fed, and the names of its classes.
        device: Where to compute.
        dtype: What to compute in.
    """

    classifier: VideoClassifier
    """The module: normalised clips to logits."""
    clip: ClipInput
    """Frames per clip, sizes, normalisation, class names."""

    def __init__(
        self,
        classifier: VideoClassifier,
        clip: ClipInput,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.classifier = classifier.to(device).eval()
        self.clip = clip
        self.device = device
        self.dtype = dtype

        resize = clip.resize
        self.resize: Resize = resize if isinstance(resize, int) else (resize[0], resize[1])

    @property
    def label_names(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return self.clip.label_names

    @overload
    def predict(
        self,
        videos: VideoInput,
        *,
        num_best: int | None = 5,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> list[Label]: ...

    @overload
    def predict(
        self,
        videos: list[VideoInput] | tuple[VideoInput, ...],
        *,
        num_best: int | None = 5,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> list[list[Label]]: ...

    def predict(
        self,
        videos: VideoInput | list[VideoInput] | tuple[VideoInput, ...],
        *,
        num_best: int | None = 5,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> list[Label] | list[list[Label]]:
        """Label one video, or several.

        Args:
            videos: A file, a folder of pictures or an array of frames; or a list of them.
            num_best: Classes to return, the best first. ``None``: all.
            num_clips: Clips per video, whose scores are averaged.
            num_crops: Crops per clip, likewise.

        Returns:
            Names with scores from 0 to 1; for several videos a list of such lists. The same as
            `pks4 predict` with as many clips and crops gives.

        Raises:
            VideoDecodeError: If a video cannot be read; the sentence names it.
        """
        if isinstance(videos, list | tuple):
            return [self._label(video, num_best, num_clips, num_crops) for video in videos]
        return self._label(videos, num_best, num_clips, num_crops)

    def preprocess(
        self, video: VideoInput, *, num_clips: int = 1, num_crops: int = 1
    ) -> Float[Tensor, "B 3 T S S"]:
        """Return the views of a video as the classifier takes them, on its device.

        Args:
            video: A file, a folder of pictures, or an array of frames.
            num_clips: Clips, each with one frame from each of as many equal parts of the video as
                a clip has frames.
            num_crops: Crops of each clip: left, centre and right for 3; or top to bottom.
        """
        frames = _open(video)
        sampler = CentredSegmentClipSampler(
            self.clip.num_frames, num_clips=num_clips, num_crops=num_crops
        )
        never = torch.Generator()  # nothing is drawn
        chosen = [
            sampler.select_frames(frames.num_frames, index, never) for index in range(num_clips)
        ]
        clips = [frames.frames(numbers, self.resize) for numbers in chosen]
        views = []
        for clip in clips:
            for crop in range(num_crops):
                height, width = clip.shape[1:3]
                size = self.clip.frame_size
                box = spatial_crop_box(
                    height, width, size=size, crop_index=crop, num_crops=num_crops
                )
                views.append(crop_clip(clip, box, size=size))
        return self.normalise(torch.stack(views))

    def normalise(self, pixels: UInt8[Tensor, "B 3 T S S"]) -> Float[Tensor, "B 3 T S S"]:
        """Return 8-bit clips as the classifier takes them, on its device.

        Args:
            pixels: RGB.
        """
        video = pixels.to(self.device).float() / 255
        mean, std = (video.new_tensor(x).view(3, 1, 1, 1) for x in (self.clip.mean, self.clip.std))
        return (video - mean) / std

    @torch.inference_mode()
    def logits(self, clips: Float[Tensor, "B 3 T S S"]) -> Float[Tensor, "B K"]:
        """Return the logits of clips from :meth:`preprocess`, in float32.

        Args:
            clips: Any number of frames, and any size that whole patches cover.
        """
        with self.autocast():
            return self.classifier(clips.to(self.device)).float()

    @torch.inference_mode()
    def features(
        self, video: VideoInput, *, num_clips: int = 1, num_crops: int = 1
    ) -> Float[Tensor, " D"]:
        """Return a video's vector: what the head reads, averaged over frames and views.

        Args:
            video: A file, a folder of pictures, or an array of frames.
            num_clips: Clips to average over.
            num_crops: Crops of each clip, likewise.
        """
        clips = self.preprocess(video, num_clips=num_clips, num_crops=num_crops)
        with self.autocast():
            return self.classifier.clip_vectors(clips).float().mean(0)

    def _label(
        self, video: VideoInput, num_best: int | None, num_clips: int, num_crops: int
    ) -> list[Label]:
        clips = self.preprocess(video, num_clips=num_clips, num_crops=num_crops)
        views = self.logits(clips).cpu().softmax(-1).numpy()
        scores = mean_over_views(views, np.zeros(len(views), dtype=np.int64)).scores
        return best_labels(scores, self.label_names, num_best=num_best)[0]

    def autocast(self) -> torch.autocast:
        """Return the context in which the classifier computes in its ``dtype``."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled)


class _Frames(FrameSource):
    """Frames at hand, read as a video is."""

    def __init__(self, frames: UInt8[np.ndarray, "T H W 3"]) -> None:
        self._frames = np.ascontiguousarray(frames)
        self._converter = RgbConverter(apply_rotation=False)
        self.num_frames = len(frames)
        self._times = np.arange(self.num_frames) / _FRAMES_PER_SECOND

    @property
    def name(self) -> str:
        return "array of frames"

    @property
    def duration(self) -> float:
        return self.num_frames / _FRAMES_PER_SECOND

    def frames(
        self, indices: Sequence[int], resize: Resize | None = None
    ) -> UInt8[Tensor, "T H W 3"]:
        pictures = [av.VideoFrame.from_ndarray(self._frames[index]) for index in indices]
        return stacked([self._converter.convert(picture, resize) for picture in pictures])


def _open(video: VideoInput) -> FrameSource:
    if isinstance(video, (str, os.PathLike)):
        path = Path(video)
        return FrameFolder(path) if path.is_dir() else Video(path)
    frames = np.asarray(video.cpu() if isinstance(video, Tensor) else video)
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames) or frames.dtype != np.uint8:
        raise ValueError(
            f"An array of frames must be T x H x W x 3 of uint8 (RGB), got {frames.shape} of "
            f"{frames.dtype}."
        )
    return _Frames(frames)
