"""The order of training videos across ranks, including where a resumed run starts."""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.loading.sampler import VideoSampler
from pks4_lightning.ranges import check_at_least

__all__ = ["Rank", "RepeatFrames", "TrainingOrder"]

RepeatFrames = Literal["drawn", "shared"]


class Rank(NamedTuple):
    """The index of this process, and the number of processes that train together."""

    number: int = 0
    world_size: int = 1


class TrainingOrder:
    """The order of the training videos, for the schedule, the loaders and resumed runs.

    Args:
        batch_size: Videos per rank and micro-batch.
        num_repeats: Clips drawn from every video of a batch.
        repeat_frames: Whether these clips have their own frames (``drawn``) or use the same ones
            (``shared``).
        balanced: Sample all classes equally often.
        seed: Seed of the order.

    Raises:
        ValueError: If a number is not positive.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        num_repeats: int,
        repeat_frames: RepeatFrames,
        balanced: bool,
        seed: int,
    ) -> None:
        check_at_least(1, {"data.batch_size": batch_size, "data.num_repeats": num_repeats})
        self.batch_size = batch_size
        self.num_repeats = num_repeats
        self.repeat_frames = repeat_frames
        self.balanced = balanced
        self.seed = seed
        self._start: dict[str, int] | None = None
        """State of the sampler when this process started training; ``None`` in a new run."""

    def num_batches(self, num_videos: int, rank: Rank) -> int:
        """Return the micro-batches per epoch on each rank.

        An incomplete last batch is dropped, unless it is the only one.

        Args:
            num_videos: Number of training videos.
            rank: Any of the processes.

        Raises:
            ValueError: If there are fewer videos than ranks.
        """
        if num_videos < rank.world_size:
            raise ValueError(
                f"{num_videos} training videos are too few for {rank.world_size} ranks; lower "
                "trainer.devices or trainer.num_nodes."
            )
        per_rank = self.sampler([0] * num_videos, rank).num_videos_per_rank
        return max(1, per_rank // self.batch_size)

    def sampler(self, labels: Sequence[int], rank: Rank) -> VideoSampler:
        """Return a sampler of the training videos that starts where the run is to continue.

        Args:
            labels: Class of every training video.
            rank: The process that uses it.
        """
        sampler = VideoSampler(
            len(labels),
            num_repeats=self.num_repeats,
            share_frames=self.repeat_frames == "shared",
            balanced_labels=labels if self.balanced else None,
            shuffle=True,
            uneven="drop",
            seed=self.seed,
            rank=rank.number,
            world_size=rank.world_size,
        )
        if self._start is not None:
            sampler.load_state_dict(self._start)
        return sampler

    def begin_within(self, *, epoch: int, num_videos: int) -> None:
        """Start the next training within an epoch.

        Args:
            epoch: Epoch, counted from 0.
            num_videos: Videos of the epoch that all ranks together have used.
        """
        self._start = {"epoch": epoch, "num_videos": num_videos}

    def begin_anew(self) -> None:
        """Start the training after this one at the beginning."""
        self._start = None

    def terms(self, videos: VideoList) -> dict[str, int | str]:
        """Return everything the order depends on, under names a user knows.

        Args:
            videos: The training videos. The folder of the data set does not matter.
        """
        digest = hashlib.sha256()
        for index, label in enumerate(videos.labels):
            digest.update(f"{label} {videos.key(index)}\n".encode())
        return {
            "data.seed": self.seed,
            "training videos": f"{len(videos)} (sha256 {digest.hexdigest()[:12]})",
            **({"data.balanced": True} if self.balanced else {}),
        }
