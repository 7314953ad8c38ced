"""Which training videos come when, on which rank; and from where on in a run that is resumed."""

import hashlib
from collections.abc import Sequence
from typing import Literal

from lightning.pytorch import LightningDataModule

from pks4_lightning.data.inspection.quarantine import FailureCount
from pks4_lightning.data.loading.sampler import VideoSampler
from pks4_lightning.data.splits import SplitVideos

__all__ = ["TrainingOrder"]


class TrainingOrder(LightningDataModule):
    """The part of the data module that a schedule counts on, and a resumed run."""

    batch_size: int
    num_repeats: int
    seed: int
    failures: FailureCount
    _splits: SplitVideos
    _start: dict[str, int] | None = None
    """The sampler's state at the start of this process's training; ``None`` at a run's start."""

    def num_train_batches(self) -> int:
        """Return the micro-batches per epoch on each rank.

        The last batch is left out where it is not full, unless it is the only one.

        Raises:
            ValueError: If there are fewer videos than ranks.
        """
        num_videos, num_ranks = len(self._splits.videos["train"]), self._order("train").world_size
        if num_videos < num_ranks:
            raise ValueError(
                f"{num_videos} training videos cannot be shared by {num_ranks} ranks; lower "
                "trainer.devices or trainer.num_nodes."
            )
        return max(1, self._order("train").num_videos_per_rank // self.batch_size)

    def training_list(self) -> dict[str, int | str]:
        """Return what the order of the training videos depends on, by names that a user knows.

        The folder that holds the data set is no part of it.
        """
        videos = self._splits.videos["train"]
        digest = hashlib.sha256()
        for path, label in zip(videos.paths, videos.labels, strict=True):
            digest.update(f"{label} {path}\n".encode())
        return {
            "data.seed": self.seed,
            "training videos": f"{len(videos)} (sha256 {digest.hexdigest()[:12]})",
        }

    def failed_train_videos(self) -> list[str]:
        """Return why training videos could not be decoded so far, one sentence for each file."""
        return list(self.failures.reasons)

    def refusal(self) -> str | None:
        """Return why no training goes on with this data: too much of it could not be decoded."""
        return self.failures.refusal(num_videos=len(self._splits.videos["train"]))

    def resume_training(self, *, epoch: int, num_videos: int, failed: Sequence[str]) -> None:
        """Let the next training begin within an epoch; call it before the loader is made.

        Args:
            epoch: Counted from 0.
            num_videos: Videos of the epoch that all ranks together have used.
            failed: What :meth:`failed_train_videos` returned by then.
        """
        self._start = {"epoch": epoch, "num_videos": num_videos}
        self.failures.reasons = list(failed)

    def _order(self, stage: Literal["train", "val", "test", "predict"]) -> VideoSampler:
        training = stage == "train"
        order = VideoSampler(
            len(self._splits.videos[stage]),
            num_repeats=self.num_repeats if training else 1,
            shuffle=training,
            uneven="drop" if training else "pad",
            seed=self.seed,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
        )
        if training and self._start is not None:
            order.load_state_dict(self._start)
        return order
