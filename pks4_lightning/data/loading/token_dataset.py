"""Clips as cached tokens of frozen blocks, computed once for each frame of the pool.

Dimensions:
    V: views
    T: frames of the pool
    H, W: pixels
    L: tokens per frame
    E: width of a token
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from pks4_lightning.batch import VideoBatch
from pks4_lightning.data.clips.flexible import Scale
from pks4_lightning.data.clips.sampling import SegmentClipSampler, View
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.loading.token_store import StoredView, TokenStore
from pks4_lightning.data.seeding import generator, stable_seed
from pks4_lightning.data.video.errors import FewerFramesError, VideoDecodeError
from pks4_lightning.progress import time_left

__all__ = ["TokenDataset"]

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_REPORTS = 30.0


class TokenDataset(VideoDataset):
    """Clips of one split, with the draws of :class:`VideoDataset`, read from the token cache.

    Args:
        store: The token store.
        options: Arguments of the dataset. It needs a finite pool and one of our samplers, with a
            single crop.
    """

    def __init__(self, *args: Any, store: TokenStore, **options: Any) -> None:
        super().__init__(*args, **options)
        assert self.pool.num_frames is not None
        assert isinstance(self.clip_sampler, SegmentClipSampler)
        self.store = store
        self._sampler = self.clip_sampler
        self._pool_frames = self.pool.num_frames
        self._shape = (1, 1)

    def fill(
        self, encode: Callable[[UInt8[Tensor, "1 3 T H W"]], Shaped[Tensor, "1 T L E"]]
    ) -> None:
        """Compute missing tokens, in the main process, before loaders are made.

        Videos that cannot be decoded are logged and skipped; their clips count as undecodable.

        Args:
            encode: Computes the tokens of a view's frames.

        Raises:
            OSError: If there is no space, or the folder cannot be written to.
        """
        with self.store.filling():
            missing = {index: self._missing(index) for index in range(len(self))}
            total = sum(map(len, missing.values()))
            if total:
                self._compute(missing, total, encode)
        self._shape = self._any_shape()

    def _compute(
        self, missing: dict[int, list[int]], total: int, encode: Callable[[Tensor], Tensor]
    ) -> None:
        began = reported = time.monotonic()
        done = 0
        for index, numbers in missing.items():
            try:
                frames = self._pictures(index) if numbers else None
            except VideoDecodeError as error:
                logger.warning("%s; it has no tokens.", error)
                continue
            for number in numbers:
                assert frames is not None
                clip, is_flipped = self._pooled_view(frames, index, number)
                view = StoredView(encode(clip.unsqueeze(0))[0].cpu(), is_flipped)
                if done == 0:
                    self.store.require_room(view.tokens.nbytes * total)
                    logger.info(
                        "Computing the tokens of %d views once, to be kept in %s, %.2f GB.",
                        *(total, self.store.folder, view.tokens.nbytes * total / 1e9),
                    )
                self.store.write(self._file(index, number), view)
                done += 1
            if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
                reported = time.monotonic()
                left = time_left(reported - began, done=done, total=total)
                logger.info("%d of %d views%s", done, total, left)

    def _pictures(self, index: int) -> UInt8[Tensor, "T H W 3"]:
        """Decode all frames of a video that its clips may use."""
        video = self._open(index, self.videos.path(index))
        while True:
            try:
                return video.frames(range(self._pool_frames), self.resize)
            except FewerFramesError:  # the video now has its correct number of frames
                continue

    def _pooled_view(self, frames: Tensor, index: int, number: int) -> tuple[Tensor, bool]:
        """Crop and augment a view: index 0 is the fixed one, the others are augmentations."""
        seed = self._pool_seed(index, number)
        whole = View(tuple(range(self._pool_frames)), 0, 0, 1)
        return self._crop(frames, whole, seed, self.videos.labels[index], self.frame_size)

    def _missing(self, index: int) -> list[int]:
        numbers = range(1, self._num_views + 1) if self.augmentation else range(1)
        try:
            return [number for number in numbers if not self._file(index, number).is_file()]
        except VideoDecodeError:
            return list(numbers)

    def _any_shape(self) -> tuple[int, int]:
        """Return the number of tokens per frame and their width, for blank clips."""
        for index in range(len(self)):
            number = 1 if self.augmentation else 0
            try:
                tokens = self.store.read(self._file(index, number), source="").tokens
            except VideoDecodeError:
                continue
            return tokens.shape[1], tokens.shape[2]
        return self._shape

    def _file(self, index: int, number: int) -> Path:
        listed = self.videos.listed_frames
        return self.store.file(
            self.videos.key(index),
            source=self.videos.path(index),
            pictures=(self.videos.frame_template, listed[index] if listed else None),
            view=number,
            may_flip=self._may_flip(self.videos.labels[index]),
        )

    def _views(self, request: VideoRequest, path: str) -> VideoBatch:
        index = request.video_index
        draw_seed = self._draw_seed(request)
        number = self._view_number(draw_seed) if self.augmentation else 0
        stored = self.store.read(self._file(index, number), source=path)
        if request.frames_of is not None:
            request = request._replace(repeat=request.frames_of)
        frame_seed = self._draw_seed(request)
        num_views = self._sampler.num_views
        seeds = [draw_seed] + [stable_seed("view", draw_seed, v) for v in range(1, num_views)]
        clips, labels, changes = [], [], []
        for clip_index, seed in enumerate(seeds):
            draw = generator("frames", frame_seed, clip_index)
            chosen = self._sampler.select_frames(self._pool_frames, clip_index, draw)
            clip, label, change = self._played(
                stored.tokens[list(chosen)], self.videos.labels[index], stored.is_flipped, seed
            )
            clips.append(clip.float())
            labels.append(label)
            changes.append(change)
        return self._batch(request, clips, labels, list(range(num_views)), seeds, changes)

    def _blank_clip(self, scale: Scale) -> Tensor:
        return torch.zeros(scale.num_frames, *self._shape)
