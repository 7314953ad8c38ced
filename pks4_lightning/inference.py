"""Use a trained classifier from Python: load it and label videos in two lines.

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pks4_lightning.data.clips.normalisation import Normalisation
from pks4_lightning.data.clips.reading import read_views
from pks4_lightning.data.clips.sampling import View
from pks4_lightning.data.clips.stage_samplers import stage_samplers
from pks4_lightning.data.clips.transforms import crop_clip, spatial_crop_box
from pks4_lightning.data.video.errors import refuse_absent
from pks4_lightning.data.video.frame_array import FrameArray
from pks4_lightning.data.video.frame_folder import FrameFolder
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.data.video.video import Video
from pks4_lightning.devices import find_device
from pks4_lightning.hub.download import download, is_hub_id
from pks4_lightning.models.pretrained import ClipInput
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.ranges import check_at_least
from pks4_lightning.training.checkpoints.trained import read_trained, rebuild
from pks4_lightning.training.scoring.accuracy import mean_over_views
from pks4_lightning.training.scoring.predictions import Label, best_labels

__all__ = ["TrainedClassifier", "VideoInput", "find_source", "load", "open_frames"]

_PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)

VideoInput: TypeAlias = str | os.PathLike[str] | np.ndarray | Tensor | FrameSource
"""A video file, a folder of numbered images, an open video, or all or some frames of a video as
8-bit RGB, ``T H W 3``."""
_Several: TypeAlias = (
    list[Any] | tuple[Any, ...]
)  # Any: list is invariant, and users have list[Path]


def load(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> "TrainedClassifier":
    """Load a trained classifier. Nothing that it was trained with is needed.

    Args:
        source: A checkpoint of `pks4 fit`, a folder of `pks4 export-weights` or `pks4 share`, or
            the id of such a folder on the Hugging Face hub. Loading never executes code from it.
        revision: Branch, tag or commit on the hub.
        device: Where to compute. ``None`` uses a GPU if there is one.
        dtype: Precision; below float32, autocast is used. ``None``: as in training.

    Raises:
        FileNotFoundError: If there is no such file or folder, neither locally nor on the hub.
        ValueError: If it is damaged, or was not written by this package; or for another dtype, or a
            device that the machine lacks.

    Example:
        >>> model = load("runs/demo/pks4/checkpoints/best.ckpt")
        >>> best, second, third = model.predict("clip.mp4", num_best=3)
        >>> best.name in model.label_names, best.score >= second.score >= third.score
        (True, True)
        >>> len(model.predict(["clip.mp4", "other.mp4"]))
        2
        >>> clips = model.preprocess("clip.mp4", num_clips=2, num_crops=3)
        >>> model.logits(clips).shape == (6, len(model.label_names))
        True
        >>> model.features("clip.mp4").shape == (model.classifier.head.in_features,)
        True
    """
    device = find_device(device)
    trained = read_trained(find_source(source, revision))
    if dtype is None:
        digits = trained.precision.partition("-")[0]
        dtype = {"bf16": torch.bfloat16, "16": torch.float16}.get(digits, torch.float32)
    return TrainedClassifier(
        rebuild(trained),
        trained.clip,
        device=device,
        dtype=dtype,
        num_clips=trained.num_clips,
        num_crops=trained.num_crops,
    )


def find_source(source: str | os.PathLike[str], revision: str | None = None) -> str:
    """Return where the files of a classifier are, downloaded if they are on the hub.

    Args:
        source: As in :func:`load`.
        revision: As in :func:`load`.

    Raises:
        FileNotFoundError: If it is the id of a classifier that is not available.
        ValueError: If it is empty, or a revision is given of a source that is not on the hub.
    """
    source = os.fspath(source)
    if not source:
        raise ValueError(
            "The classifier's name is empty: name a checkpoint, an exported folder or a hub id."
        )
    if is_hub_id(source):
        return str(download(source, revision))
    if revision is not None:
        raise ValueError(
            f"{source} is not a hub id, so it has no revision {revision}: leave revision out."
        )
    return source


class TrainedClassifier:
    """A classifier, together with its preprocessing and the names of its classes.

    Args:
        classifier: Used as it is, in evaluation mode.
        clip: How clips are made, and the names of the classes.
        device: Where to compute.
        dtype: Precision of the computation.
        num_clips: Default number of clips per video.
        num_crops: Default number of crops per clip.

    Raises:
        ValueError: If the precision is none that autocast has.
    """

    classifier: VideoClassifier
    """The module that maps normalised clips to logits."""
    clip: ClipInput
    """Frames per clip, sizes, normalisation, class names."""

    def __init__(
        self,
        classifier: VideoClassifier,
        clip: ClipInput,
        *,
        device: torch.device,
        dtype: torch.dtype,
        num_clips: int = 1,
        num_crops: int = 1,
    ) -> None:
        if dtype not in _PRECISIONS:
            names = ", ".join(map(str, _PRECISIONS))
            raise ValueError(f"dtype is {dtype}; it must be one of {names}.")
        self.classifier = classifier.to(device).eval()
        self.clip = clip
        self.device = device
        self.dtype = dtype
        self.num_clips = num_clips
        self.num_crops = num_crops
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
        num_clips: int | None = None,
        num_crops: int | None = None,
        batch_size: int = 16,
    ) -> list[Label]: ...

    @overload
    def predict(
        self,
        videos: _Several,
        *,
        num_best: int | None = 5,
        num_clips: int | None = None,
        num_crops: int | None = None,
        batch_size: int = 16,
    ) -> list[list[Label]]: ...

    def predict(
        self,
        videos: VideoInput | _Several,
        *,
        num_best: int | None = 5,
        num_clips: int | None = None,
        num_crops: int | None = None,
        batch_size: int = 16,
    ) -> list[Label] | list[list[Label]]:
        """Label one or several videos.

        Args:
            videos: A file, a folder of pictures or an array of frames; or a list of them.
            num_best: Number of classes to return, best first. ``None``: all.
            num_clips: Clips per video, whose scores are averaged. ``None``: as many as in a test
                of the training run.
            num_crops: Crops per clip, likewise.
            batch_size: Clips per forward pass.

        Returns:
            Names with scores from 0 to 1; for a list of videos, a list of such lists. The scores
            equal those of `pks4 predict`, unless the training set `data.test_sampler`, which is
            not used here.

        Raises:
            ValueError: If a video cannot be read (its name is given), is something else, an array
                has no pixels, or a number is not positive.
        """
        check_at_least(1, {"num_best": num_best})
        if not isinstance(videos, list | tuple):
            (best,) = self.predict(
                [videos],
                num_best=num_best,
                num_clips=num_clips,
                num_crops=num_crops,
                batch_size=batch_size,
            )
            return best
        answers: list[list[Label]] = []
        for clips, video_index in self._batches(videos, num_clips, num_crops, batch_size):
            scores = self.scores(clips, video_index, batch_size=batch_size)
            answers += best_labels(scores, self.label_names, num_best=num_best)
        return answers

    @torch.inference_mode()
    def features(
        self,
        video: VideoInput,
        *,
        num_clips: int | None = None,
        num_crops: int | None = None,
        batch_size: int = 16,
    ) -> Float[Tensor, " D"]:
        """Return the feature vector of a video: the head's input, averaged over frames and views.

        Args:
            video: A file, a folder of pictures, or an array of frames.
            num_clips: Clips to average over, as in :meth:`predict`.
            num_crops: Crops of each clip, likewise.
            batch_size: Clips per forward pass.
        """
        check_at_least(1, {"batch_size": batch_size})
        clips = self.preprocess(video, num_clips=num_clips, num_crops=num_crops)
        with self.autocast():
            parts = [self.classifier.clip_vectors(part).float() for part in clips.split(batch_size)]
        return torch.cat(parts).mean(0)

    def preprocess(
        self, video: VideoInput, *, num_clips: int | None = None, num_crops: int | None = None
    ) -> Float[Tensor, "B 3 T S S"]:
        """Return the views of a video as the classifier expects them, on its device.

        Args:
            video: A file, a folder of pictures, or an array of frames.
            num_clips: Number of clips. Frames are spread evenly over the whole video, one from each
                of as many equal parts as a clip has frames, or have the frame rate of training.
            num_crops: Crops per clip: left, centre and right for 3 (top to bottom in portrait).
        """
        views = self.views(video, num_clips=num_clips, num_crops=num_crops)
        return self.normalise(torch.stack([pixels for _, pixels in views]))

    def views(
        self, video: VideoInput, *, num_clips: int | None = None, num_crops: int | None = None
    ) -> list[tuple[View, UInt8[Tensor, "3 T S S"]]]:
        """Return the views of a video: the frames of each, and the model's input from them.

        Args:
            video: As for :meth:`preprocess`.
            num_clips: As for :meth:`preprocess`.
            num_crops: As for :meth:`preprocess`.
        """
        samplers = stage_samplers(
            self.clip.num_frames,
            frame_rate=self.clip.frame_rate,
            num_clips=self.num_clips if num_clips is None else num_clips,
            num_crops=self.num_crops if num_crops is None else num_crops,
        )
        views = read_views(
            samplers["predict"],
            open_frames(video),
            num_frames=self.clip.num_frames,
            resize=self.resize,
        )
        return [
            (view, self.crop(frames, crop_index=view.crop_index, num_crops=view.num_crops))
            for view, frames in views
        ]

    def crop(
        self, frames: UInt8[Tensor, "T H W 3"], *, crop_index: int = 0, num_crops: int = 1
    ) -> UInt8[Tensor, "3 T S S"]:
        """Cut the square that the model sees out of frames that have been scaled by ``resize``.

        Args:
            frames: RGB.
            crop_index: Index of the crop.
            num_crops: Crops per frame; a single one is the centre.

        Raises:
            ValueError: If there is no crop, or none of that index.
        """
        size = self.clip.frame_size
        height, width = frames.shape[1:3]
        box = spatial_crop_box(height, width, size=size, crop_index=crop_index, num_crops=num_crops)
        return crop_clip(frames, box, size=size)

    def normalise(self, pixels: UInt8[Tensor, "B 3 T S S"]) -> Float[Tensor, "B 3 T S S"]:
        """Return 8-bit clips as the classifier expects them, on its device.

        Args:
            pixels: RGB.
        """
        mean, std = ((r, g, b) for r, g, b in (self.clip.mean, self.clip.std))
        return Normalisation(mean, std).normalise(pixels.to(self.device).float() / 255)

    def scores(
        self,
        clips: Float[Tensor, "B 3 T S S"],
        video_index: Int[np.ndarray, " B"] | None = None,
        *,
        batch_size: int = 16,
    ) -> Float[np.ndarray, "N K"]:
        """Return the scores of videos: the mean softmax over the views of each.

        Args:
            clips: Views, from :meth:`preprocess`.
            video_index: Index of the video that each view belongs to. ``None``: all belong to one.
            batch_size: Clips per forward pass.

        Raises:
            ValueError: If ``batch_size`` is not positive.
        """
        check_at_least(1, {"batch_size": batch_size})
        if video_index is None:
            video_index = np.zeros(len(clips), dtype=int)
        logits = torch.cat([self.logits(part) for part in clips.split(batch_size)])
        return mean_over_views(logits.cpu().softmax(-1).numpy(), video_index).scores

    @torch.inference_mode()
    def logits(self, clips: Float[Tensor, "B 3 T S S"]) -> Float[Tensor, "B K"]:
        """Return the logits of clips from :meth:`preprocess`, in float32.

        Args:
            clips: Any number of frames, and any size that whole patches cover.

        Raises:
            ValueError: If it is not a tensor of this form.
        """
        if not isinstance(clips, Tensor) or clips.ndim != 5 or clips.shape[1] != 3:
            raise ValueError(
                f"Clips must be a tensor B x 3 x T x S x S, as `preprocess` returns it, got "
                f"{tuple(np.shape(clips))} of {type(clips).__name__}."
            )
        with self.autocast():
            return self.classifier(clips.to(self.device)).float()

    def _batches(
        self,
        videos: _Several,
        num_clips: int | None,
        num_crops: int | None,
        batch_size: int,
    ) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Yield batches of views, and the index of the video that each view belongs to."""
        check_at_least(1, {"batch_size": batch_size})
        num_clips = self.num_clips if num_clips is None else num_clips
        num_crops = self.num_crops if num_crops is None else num_crops
        check_at_least(1, {"num_clips": num_clips, "num_crops": num_crops})
        num_views = num_clips * num_crops
        num_videos = max(1, batch_size // num_views)
        for start in range(0, len(videos), num_videos):
            views = [
                self.preprocess(video, num_clips=num_clips, num_crops=num_crops)
                for video in videos[start : start + num_videos]
            ]
            yield torch.cat(views), np.repeat(np.arange(len(views)), num_views)

    def autocast(self) -> torch.autocast:
        """Return the context in which the classifier computes in its ``dtype``."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled)


def open_frames(video: VideoInput) -> FrameSource:
    """Open a video, whatever its form.

    Args:
        video: A file, a folder of images or an array of frames; an open video is not changed.

    Raises:
        ValueError: If it cannot be opened (its name is given), is something else, or an array has
            no pixels.
    """
    if isinstance(video, FrameSource):
        return video
    if isinstance(video, str | os.PathLike):
        refuse_absent(video)
        path = Path(video)
        return FrameFolder(path) if path.is_dir() else Video(path)
    frames = np.asarray(video.detach().cpu() if isinstance(video, Tensor) else video)
    if frames.dtype == object:
        raise ValueError(
            f"A {type(video).__name__} is not a video: give a path or an array of frames, or a "
            "list of them."
        )
    if frames.ndim == 3 and frames.shape[-1] == 3:
        raise ValueError(
            f"An array of shape {frames.shape} is a single picture: give the frames of a video as "
            "one array, np.stack(frames); a list holds several videos."
        )
    if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size or frames.dtype != np.uint8:
        raise ValueError(
            f"An array of frames must be T x H x W x 3 of uint8 (RGB), got {frames.shape} of "
            f"{frames.dtype}."
        )
    return FrameArray(frames)
