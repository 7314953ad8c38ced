"""Prepare the clips of one requested video, and join videos to a batch.

A video that cannot be decoded does not end the run. In validation, testing and predicting, its
views are blank and not valid and carry the reason, so that it is counted as failed. In training it
is replaced by another video, chosen by the request alone, and the batch records which and why.

Dimensions:
    V: views of a video
"""

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from pks4_lightning.batch import VideoBatch
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.flexible import Scale, scaled_resize
from pks4_lightning.data.clips.mirrored_labels import NEVER
from pks4_lightning.data.clips.pool import ClipPool, PooledFrames
from pks4_lightning.data.clips.randaugment import grayscale, randaugment
from pks4_lightning.data.clips.reading import ViewFrames, read_views
from pks4_lightning.data.clips.sampling import CountedClipSampler, View, of_length
from pks4_lightning.data.clips.transforms import (
    Augmentation,
    crop_clip,
    random_crop_box,
    spatial_crop_box,
)
from pks4_lightning.data.inspection.manifest import KnownFiles
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.loading.worker_activity import OpenFiles
from pks4_lightning.data.seeding import generator, stable_seed
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.frame_folder import FrameFolder
from pks4_lightning.data.video.frame_source import FrameSource, Resize
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler
from pks4_lightning.data.video.span import SpanOfVideo
from pks4_lightning.data.video.video import Video

__all__ = ["VideoDataset", "join_views"]

logger = logging.getLogger(__name__)

_MOST_ATTEMPTS = 10
"""Number of replacement videos tried in a row for one that cannot be decoded."""


class VideoDataset(Dataset[VideoBatch]):
    """Clips of one split, 8 bits per value, all views of a video together.

    Args:
        videos: The split.
        clip_sampler: Determines the clips and crops of a video.
        num_frames: Frames per clip, if the request gives no scale.
        frame_size: Side of the square clips, in pixels, if the request gives no scale.
        resize: Size of the frames before cropping, for crops of ``frame_size``.
        seed: Seed of all random draws, combined with the request.
        augmentation: Random changes, crops and flips of training clips; ``None`` gives the fixed
            crops of validation and testing.
        flipped_labels: For every class, the class of its mirrored clips; -1: never mirrored.
        reversed_labels: For every class, the class of its clips played backwards; -1: never.
        pool: The finite set that clips are drawn from, if any.
        substitute: Replace videos that cannot be decoded by others.
        known: What the manifest records about the files, if there is one.
        open_files: Where workers record which video they are processing.
    """

    def __init__(
        self,
        videos: VideoList,
        *,
        clip_sampler: ClipSampler,
        num_frames: int,
        frame_size: int,
        resize: Resize,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        flipped_labels: Sequence[int] = (),
        reversed_labels: Sequence[int] = (),
        pool: ClipPool = ClipPool(),  # noqa: B008 - frozen
        substitute: bool = False,
        known: KnownFiles | None = None,
        open_files: OpenFiles | None = None,
    ) -> None:
        self.videos = videos
        self.clip_sampler = clip_sampler
        self.num_frames = num_frames
        self.frame_size = frame_size
        self.resize = resize
        self.seed = seed
        self.augmentation = augmentation
        self.flipped_labels = tuple(flipped_labels)
        self.reversed_labels = tuple(reversed_labels)
        self.pool = pool
        self.substitute = substitute
        self.known = known
        self.open_files = open_files
        self._has_mentioned = False
        self._shared: tuple[VideoRequest | None, list[ViewFrames]] = (None, [])

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, request: VideoRequest | int) -> VideoBatch:
        """Prepare all views of a video.

        Args:
            request: The request of the sampler. A bare index means that video in the first epoch.

        Returns:
            A batch of the video's views.

        Raises:
            VideoDecodeError: If replacements are allowed, and ten in a row failed as well.
        """
        if isinstance(request, int):
            request = VideoRequest(request, epoch=0, repeat=0, valid=True)
        views = self._prepare(request)
        if request.scale is not None:
            views["relative_cost"] = request.scale.cost
            if request.scale.patch_size is not None:
                views["patch_size"] = request.scale.patch_size
            if request.scale.whole_batch is not None:
                views["whole_batch"] = request.scale.whole_batch
        return views

    def _prepare(self, request: VideoRequest) -> VideoBatch:
        if not request.valid:
            return self._blank(request)
        try:
            return self._decode(request)
        except VideoDecodeError as error:
            reason = str(error)
        if not self.substitute:
            name = self.videos.name(request.video_index)
            return self._blank(request, video_path=name, failure=reason)
        return self._substituted(request, reason)

    def _substituted(self, request: VideoRequest, reason: str) -> VideoBatch:
        """Decode another video in place of one that failed; the same one for all its repeats."""
        reasons = [reason]
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            seed = stable_seed("substitute", self.seed, request.epoch, request.video_index, attempt)
            try:
                views = self._decode(request._replace(video_index=seed % len(self.videos)))
            except VideoDecodeError as error:
                reasons.append(str(error))
                continue
            return {**views, "failure": ["\n".join(reasons)] * len(views["label"])}
        raise VideoDecodeError(reasons[0])

    def _decode(self, request: VideoRequest) -> VideoBatch:
        path = self.videos.path(request.video_index)
        with self.open_files.at(path) if self.open_files else nullcontext():
            return self._views(request, path)

    def num_frames_of(self, video_index: int) -> int:
        """Return how many frames a video has.

        Raises:
            VideoDecodeError: If it cannot be opened.
        """
        return self._open_all(video_index, self.videos.path(video_index)).num_frames

    def _open(self, video_index: int, path: str) -> FrameSource:
        """Open a video, or the pool's frames of it."""
        video = self._open_all(video_index, path)
        return video if self.pool.num_frames is None else PooledFrames(video, self.pool.num_frames)

    def _open_all(self, video_index: int, path: str) -> FrameSource:
        """Open a video, or the annotated part of it."""
        video = self._open_file(video_index, path)
        span = self.videos.span(video_index)
        return video if span is None else SpanOfVideo(video, span)

    def _open_file(self, video_index: int, path: str) -> FrameSource:
        """Open a whole video, unless the manifest objects to it."""
        listed = self.videos.listed_frames
        if listed or os.path.isdir(path):  # noqa: PTH112 - once per clip
            return FrameFolder(
                path,
                template=self.videos.frame_template,
                num_frames=listed[video_index] if listed else None,
            )
        if self.known is None:
            return Video(path)
        objection = self.known.objection(video_index, path)
        if objection is not None:
            raise VideoDecodeError(f"Cannot decode video '{path}': {objection}.")
        return Video(path, num_frames=self.known.num_frames(video_index))

    def _views(self, request: VideoRequest, path: str) -> VideoBatch:
        draw_seed = self._draw_seed(request)
        views = self._frames(request, path)
        seeds = [draw_seed] + [stable_seed("view", draw_seed, v) for v in range(1, len(views))]
        size = self._scale(request).frame_size
        clips, labels, changes = [], [], []
        for (view, frames), seed in zip(views, seeds, strict=True):
            label = self.videos.labels[request.video_index]
            change_seed = seed
            if self.augmentation and self.pool.num_views:
                change_seed = self._pool_seed(request.video_index, self._view_number(seed))
            clip, is_flipped = self._crop(frames, view, change_seed, label, size)
            clip, label, change = self._played(clip.transpose(0, 1), label, is_flipped, seed)
            clips.append(clip.transpose(0, 1))
            labels.append(label)
            changes.append(change)
        numbers = [view.clip_index * view.num_crops + view.crop_index for view, _ in views]
        return self._batch(request, clips, labels, numbers, seeds, changes)

    def _batch(
        self,
        request: VideoRequest,
        clips: Sequence[Tensor],
        labels: Sequence[int],
        numbers: Sequence[int],
        seeds: Sequence[int],
        changes: Sequence[str],
    ) -> VideoBatch:
        return VideoBatch(
            video=torch.stack(list(clips)),
            label=torch.tensor(labels),
            video_index=torch.full((len(clips),), request.video_index),
            view_index=torch.tensor(numbers),
            valid=torch.ones(len(clips), dtype=torch.bool),
            draw_seed=torch.tensor(seeds),
            changes=list(changes),
            video_path=[self.videos.name(request.video_index)] * len(clips),
            failure=[""] * len(clips),
        )

    def _view_number(self, draw_seed: int) -> int:
        """Draw one of the pool's augmentations, which are counted from 1."""
        return 1 + stable_seed("view of the pool", draw_seed) % self._num_views

    @property
    def _num_views(self) -> int:
        return self.pool.num_views or 1

    def _pool_seed(self, video_index: int, number: int) -> int:
        """Return the seed of one of the pool's augmentations, the same in every run."""
        return stable_seed("pool", self.videos.key(video_index), number)

    def _draw_seed(self, request: VideoRequest) -> int:
        index = request.video_index
        return stable_seed("clip", self.seed, request.epoch, index, request.repeat)

    def _frames(self, request: VideoRequest, path: str) -> list[ViewFrames]:
        """Decode the frames of all views, or reuse those of the previous repeat if they are shared.

        Repeats are consecutive in one worker, so only the latest frames are kept.
        """
        if request.frames_of is not None:
            request = request._replace(repeat=request.frames_of)
            if request == self._shared[0]:
                return self._shared[1]
        draw_seed, scale = self._draw_seed(request), self._scale(request)
        resize = scaled_resize(self.resize, old=self.frame_size, new=scale.frame_size)
        sampler = of_length(self.clip_sampler, scale.num_frames)
        video = self._open(request.video_index, path)
        decoded = read_views(
            sampler, video, num_frames=scale.num_frames, resize=resize, draw_seed=draw_seed
        )
        self._mention_repeats(video.num_frames, scale.num_frames, path)
        if request.frames_of is not None:
            self._shared = request, decoded
        return decoded

    def _mention_repeats(self, video_frames: int, num_frames: int, path: str) -> None:
        """Log once, from one process, that videos are shorter than clips."""
        worker = get_worker_info()
        if video_frames >= num_frames or self._has_mentioned or (worker and worker.id):
            return
        self._has_mentioned = True
        logger.warning(
            "'%s' has %d frames, fewer than the %d of a clip: its frames are repeated, as are "
            "those of every other video that is too short.",
            path,
            video_frames,
            num_frames,
        )

    def _scale(self, request: VideoRequest) -> Scale:
        return request.scale or Scale(self.num_frames, self.frame_size)

    def _crop(
        self, frames: Tensor, view: View, draw_seed: int, label: int, size: int
    ) -> tuple[Tensor, bool]:
        """Augment, crop and flip a view; return it and whether it was flipped."""
        height, width = frames.shape[1:3]
        if self.augmentation is None:
            box = spatial_crop_box(
                height,
                width,
                size=size,
                crop_index=view.crop_index,
                num_crops=view.num_crops,
            )
            return crop_clip(frames, box, size=size), False
        colour = generator("appearance", draw_seed)
        frames = randaugment(frames, self.augmentation, colour)
        if float(torch.rand((), generator=colour)) < self.augmentation.grayscale:
            frames = grayscale(frames)
        draw = generator("crop", draw_seed)
        box = random_crop_box(height, width, self.augmentation, draw)
        flip = float(torch.rand((), generator=draw)) < self.augmentation.flip
        flip = flip and self._may_flip(label)
        return crop_clip(frames, box, size=size, flip=flip), flip

    def _may_flip(self, label: int) -> bool:
        return _changed(label, self.flipped_labels) != NEVER

    def _played(
        self, clip: Shaped[Tensor, "T ..."], label: int, is_flipped: bool, draw_seed: int
    ) -> tuple[Tensor, int, str]:
        """Reverse a clip in time or not; return it with the class that it shows and its changes."""
        label = _changed(label, self.flipped_labels) if is_flipped else label
        change = "mirrored" if is_flipped else ""
        if self.augmentation is None or not self.augmentation.reverse:
            return clip, label, change
        draw = torch.rand((), generator=generator("reverse", draw_seed))
        backwards = _changed(label, self.reversed_labels)
        if backwards == NEVER or float(draw) >= self.augmentation.reverse:
            return clip, label, change
        return clip.flip(0), backwards, "mirrored, backwards" if is_flipped else "backwards"

    def _blank(
        self, request: VideoRequest, *, video_path: str = "", failure: str = ""
    ) -> VideoBatch:
        sampler = self.clip_sampler
        num_views = sampler.num_views if isinstance(sampler, CountedClipSampler) else 1
        return VideoBatch(
            video=torch.stack([self._blank_clip(self._scale(request))] * num_views),
            label=torch.full((num_views,), self.videos.labels[request.video_index]),
            video_index=torch.full((num_views,), request.video_index),
            view_index=torch.arange(num_views),
            valid=torch.zeros(num_views, dtype=torch.bool),
            draw_seed=torch.zeros(num_views, dtype=torch.int64),
            changes=[""] * num_views,
            video_path=[video_path] * num_views,
            failure=[failure] * num_views,
        )

    def _blank_clip(self, scale: Scale) -> Tensor:
        shape = (3, scale.num_frames, scale.frame_size, scale.frame_size)
        return torch.zeros(shape, dtype=torch.uint8)


def _changed(label: int, mapping: Sequence[int]) -> int:
    """Return the class that a change turns a class into; unlabelled clips stay unlabelled."""
    return mapping[label] if mapping and label >= 0 else label


def join_views(videos: Sequence[VideoBatch]) -> VideoBatch:
    """Join the views of several videos into one batch; views of a video are adjacent."""
    joined = VideoBatch(
        video=torch.cat([views["video"] for views in videos]),
        label=torch.cat([views["label"] for views in videos]),
        video_index=torch.cat([views["video_index"] for views in videos]),
        view_index=torch.cat([views["view_index"] for views in videos]),
        valid=torch.cat([views["valid"] for views in videos]),
        draw_seed=torch.cat([views["draw_seed"] for views in videos]),
        changes=[change for views in videos for change in views["changes"]],
        video_path=[path for views in videos for path in views["video_path"]],
        failure=[reason for views in videos for reason in views["failure"]],
    )
    if "relative_cost" in videos[0]:
        joined["relative_cost"] = videos[0]["relative_cost"]
    if "patch_size" in videos[0]:
        joined["patch_size"] = videos[0]["patch_size"]
    if "whole_batch" in videos[0]:
        joined["whole_batch"] = videos[0]["whole_batch"]
    return joined
