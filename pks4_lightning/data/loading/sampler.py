"""The order of videos, and how it is divided among ranks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import BatchSampler, Sampler

from pks4_lightning.data.clips.flexible import Scale, StepScales
from pks4_lightning.data.seeding import generator
from pks4_lightning.ranges import check_at_least

__all__ = ["TokenBudget", "VideoRequest", "VideoSampler"]


class VideoRequest(NamedTuple):
    """One video to prepare, with everything its random draws depend on; workers keep no state."""

    video_index: int
    """Position of the video in its split."""
    epoch: int
    repeat: int
    """Index of the repeat of this video within the epoch (repeated augmentation)."""
    valid: bool
    """False for a filler that keeps the ranks in step; nothing is decoded for it."""
    scale: Scale | None = None
    """Scale of the clips, if it is drawn; otherwise that of the data module."""
    frames_of: int | None = None
    """Repeat whose frames this one reuses; ``None``: it has its own frames."""


class VideoSampler(Sampler[VideoRequest]):
    """Requests of one rank for one epoch; the order depends only on (seed, epoch).

    All ranks yield the same number of requests. Rank ``r`` of ``world_size`` takes every
    ``world_size``-th video starting with the ``r``-th, so the videos of one optimiser step do not
    depend on the number of ranks. The repeats of a video are consecutive.

    Args:
        num_videos: Videos in the split, at least 1.
        num_repeats: Requests for each occurrence of a video.
        share_frames: Let the repeats of a video use the same frames.
        balanced_labels: The class of each video, if all classes are to be sampled equally often:
            videos of small classes several times per epoch, not all videos of large classes. The
            length of an epoch is unchanged. ``None``: every video once.
        shuffle: Draw a new order every epoch; otherwise use the order of the annotations.
        uneven: How to treat videos that cannot be divided evenly among ranks: ``pad`` keeps them
            and gives the other ranks invalid requests; ``drop`` skips them in this epoch, unless a
            rank would have none.
        seed: Seed of the order.
        rank: Index of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If there are no videos.
    """

    def __init__(
        self,
        num_videos: int,
        *,
        num_repeats: int = 1,
        share_frames: bool = False,
        balanced_labels: Sequence[int] | None = None,
        shuffle: bool = False,
        uneven: Literal["pad", "drop"] = "pad",
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        check_at_least(1, {"num_videos": num_videos})
        self.num_videos = num_videos
        self.num_repeats = num_repeats
        self.share_frames = share_frames
        self.balanced_labels = balanced_labels
        self.shuffle = shuffle
        self.uneven = uneven
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.scales: StepScales | None = None
        """Assigns scales to requests, if they are drawn."""
        self.epoch = 0
        self._position = 0

    @property
    def num_videos_per_rank(self) -> int:
        """Videos of each rank per epoch, fillers included."""
        if self.uneven == "drop" and self.num_videos >= self.world_size:
            return self.num_videos // self.world_size
        return -(-self.num_videos // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; Lightning's trainer calls this.

        Args:
            epoch: Epoch, counted from 0. Without shuffling it is always treated as 0, so that
                random draws of validation clips, if any, are the same in every epoch.
        """
        epoch = epoch if self.shuffle else 0
        if epoch != self.epoch:
            self._position = 0
        self.epoch = epoch

    def state_dict(self, *, position: int) -> dict[str, int]:
        """Return the state that a later run needs to continue within this epoch.

        Args:
            position: Number of requests that this rank has used. Workers request videos ahead of
                time, so only the consumer of the batches knows it.

        Raises:
            ValueError: If the position is not between two videos of this epoch.
        """
        if position % self.num_repeats or not 0 <= position <= len(self):
            raise ValueError(
                f"position is {position}; it must be a multiple of num_repeats "
                f"({self.num_repeats}) from 0 to {len(self)}."
            )
        return {"epoch": self.epoch, "num_videos": position // self.num_repeats * self.world_size}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Start the next iteration within an epoch, as if the preceding requests had been taken.

        ``len`` remains that of a whole epoch. The number of ranks may differ from that of the saved
        state.

        Args:
            state: From ``state_dict``, of any rank.

        Raises:
            ValueError: If the remaining videos cannot be divided evenly among the ranks.
        """
        num_videos = state["num_videos"]
        if num_videos % self.world_size and num_videos < self.num_videos:
            raise ValueError(
                f"{num_videos} videos of the epoch have been used, which cannot be divided evenly "
                f"among {self.world_size} ranks; resume with the original number of ranks."
            )
        self.set_epoch(state["epoch"])
        self._position = -(-num_videos // self.world_size) * self.num_repeats

    def order(self) -> list[int]:
        """Return all videos in the order of this epoch, the same on every rank."""
        if not self.shuffle:
            return list(range(self.num_videos))
        draw = generator("order", self.seed, self.epoch)
        if self.balanced_labels is not None:
            return _balanced_order(self.balanced_labels, draw)
        return _permuted(range(self.num_videos), draw)

    def __len__(self) -> int:
        return self.num_videos_per_rank * self.num_repeats

    def __iter__(self) -> Iterator[VideoRequest]:
        start, self._position = self._position, 0
        requests = self._requests(self.epoch)
        return islice(requests if self.scales is None else self._scaled(requests), start, None)

    def _scaled(self, requests: Iterator[VideoRequest]) -> Iterator[VideoRequest]:
        assert self.scales is not None
        for position, request in enumerate(requests):
            yield request._replace(scale=self.scales.at(request.epoch, position))

    def _requests(self, epoch: int) -> Iterator[VideoRequest]:
        # every occurrence of a video has its own draws, on whichever rank it is
        times: Counter[int] = Counter()
        firsts = []
        for index in self.order():
            firsts.append((index, self.num_repeats * times[index]))
            times[index] += 1
        mine = firsts[self.rank :: self.world_size][: self.num_videos_per_rank]
        for index, first in mine:
            frames_of = first if self.share_frames else None
            for repeat in range(first, first + self.num_repeats):
                yield VideoRequest(index, epoch, repeat, valid=True, frames_of=frames_of)
        for _ in range(self.num_videos_per_rank - len(mine)):
            for repeat in range(self.num_repeats):
                yield VideoRequest(0, epoch, repeat, valid=False)


class TokenBudget(Sampler[list[VideoRequest]]):
    """Batches with fewer videos when long or large clips are drawn.

    The order continues as if each batch were whole, so the numbers of batches and optimiser steps
    are unchanged.

    Args:
        sampler: The requests, with their scales.
        batch_size: Requests of a whole batch.
        drop_last: Drop an incomplete last batch.
    """

    def __init__(self, sampler: VideoSampler, batch_size: int, *, drop_last: bool) -> None:
        self.sampler = sampler
        # BatchSampler is typed for integers only
        self._whole: Any = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[list[VideoRequest]]:
        scales, repeats = self.sampler.scales, self.sampler.num_repeats
        for batch in self._whole:
            scale = batch[0].scale
            assert scales is not None
            assert scale is not None
            kept = repeats * scales.draws.num_videos(scale, len(batch) // repeats)
            scale = scale._replace(whole_batch=len(batch))
            yield [request._replace(scale=scale) for request in batch[:kept]]


def _balanced_order(labels: Sequence[int], draw: torch.Generator) -> list[int]:
    """Draw as many videos as there are, equally many per class; a class's videos take turns."""
    videos: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        videos.setdefault(label, []).append(index)
    share, rest = divmod(len(labels), len(videos))
    lucky = set(_permuted(sorted(videos), draw)[:rest])
    chosen: list[int] = []
    for label in sorted(videos):
        count, mine = share + (label in lucky), videos[label]
        turns = -(-count // len(mine))
        chosen += [index for _ in range(turns) for index in _permuted(mine, draw)][:count]
    return _permuted(chosen, draw)


def _permuted(items: Sequence[int], draw: torch.Generator) -> list[int]:
    return [items[place] for place in torch.randperm(len(items), generator=draw).tolist()]
