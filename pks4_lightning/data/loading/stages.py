"""Datasets and loaders of a data module's stages: training, validation, testing, predicting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pks4_lightning.batch import Stage
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.flexible import StepScales
from pks4_lightning.data.clips.mirrored_labels import flipped_labels, reversed_labels
from pks4_lightning.data.clips.pool import ClipPool
from pks4_lightning.data.clips.sampling import CountedClipSampler
from pks4_lightning.data.clips.scales import ClipScales
from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.inspection.manifest import KnownFiles
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.loading.loader import PREFETCHED_BATCHES, VideoLoader, video_loader
from pks4_lightning.data.loading.memory_check import (
    check_cores,
    check_memory,
    check_shared_memory,
)
from pks4_lightning.data.loading.sampler import VideoSampler
from pks4_lightning.data.loading.token_dataset import TokenDataset
from pks4_lightning.data.loading.token_store import TokenStore
from pks4_lightning.data.loading.training_order import Rank, TrainingOrder
from pks4_lightning.data.loading.worker_activity import OpenFiles
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler
from pks4_lightning.ranges import check_at_least

__all__ = ["StageLoaders"]


@dataclass(frozen=True, kw_only=True)
class StageLoaders:
    """Makes the loaders of all stages.

    Args:
        clip_samplers: The clip sampler of each stage.
        test_batch_size: Test videos per rank and batch; ``order`` has that of the other stages.
        order: The order of the training videos.
        augmentation: Random changes of the training clips.
        pool: The finite set that clips are drawn from, if any.
        num_workers: Processes that decode; 0 decodes in the main process.
        worker_timeout: Seconds that a worker may spend on one video.

    Raises:
        ValueError: If a number is too small.
    """

    clip_samplers: Mapping[Stage, ClipSampler]
    test_batch_size: int
    order: TrainingOrder
    augmentation: Augmentation
    pool: ClipPool
    num_workers: int
    worker_timeout: float

    def __post_init__(self) -> None:
        check_at_least(1, {"data.test_batch_size": self.test_batch_size})
        waiting = {"data.num_workers": self.num_workers, "data.worker_timeout": self.worker_timeout}
        check_at_least(0, waiting)

    def dataset(
        self,
        stage: Stage,
        videos: VideoList,
        *,
        scales: ClipScales,
        label_names: Sequence[str],
        known: KnownFiles | None,
        store: TokenStore | None = None,
    ) -> VideoDataset:
        """Return the clips of a stage.

        Args:
            stage: Training clips are augmented, and undecodable videos are replaced by others.
            videos: The videos.
            scales: The scales of the clips.
            label_names: Names of all classes, by which mirrored classes are found.
            known: What the manifest records about the videos.
            store: The store in which clips are looked up as tokens; ``None`` decodes them.
        """
        training = stage == "train"
        flips, reversals = (
            self.augmentation.flip_label_pairs,
            self.augmentation.reverse_label_pairs,
        )
        kind = VideoDataset if store is None else partial(TokenDataset, store=store)
        return kind(
            videos,
            clip_sampler=self.clip_samplers[stage],
            num_frames=scales.num_frames,
            frame_size=scales.frame_size,
            resize=scales.resize,
            seed=self.order.seed,
            augmentation=self.augmentation if training else None,
            flipped_labels=flipped_labels(label_names, flips) if training else (),
            reversed_labels=reversed_labels(label_names, reversals) if training else (),
            pool=self.pool,
            substitute=training,
            known=known,
            open_files=OpenFiles(self.num_workers, timeout=self.worker_timeout)
            if self.num_workers
            else None,
        )

    def loader(
        self,
        stage: Stage,
        dataset: VideoDataset,
        *,
        scales: ClipScales,
        rank: Rank,
        accumulation: int,
    ) -> VideoLoader:
        """Return one rank's batches of a stage.

        Args:
            stage: Training batches are in random order, with each video ``num_repeats`` times.
            dataset: The clips of the stage.
            scales: The distribution of the scales of training clips.
            rank: The process.
            accumulation: Training batches per optimiser step.
        """
        requests = self._num_videos(stage)
        if stage != "train":
            order = VideoSampler(len(dataset), rank=rank.number, world_size=rank.world_size)
        else:
            order = self.order.sampler(dataset.videos.labels, rank)
            requests *= self.order.num_repeats
            if (draws := scales.draws()) is not None:
                order.scales = StepScales(
                    draws=draws,
                    requests_per_batch=requests,
                    batches_per_epoch=self.order.num_batches(len(dataset), rank),
                    accumulation=accumulation,
                )
        return video_loader(
            dataset,
            order,
            requests_per_batch=requests,
            num_workers=self.num_workers,
            drop_last=stage == "train" and len(order) >= requests,
        )

    def check_machine(self, stages: Sequence[Stage], scales: ClipScales, *, ranks: int) -> None:
        """Check that the clips in flight fit into memory.

        Args:
            stages: The stages to be loaded.
            scales: The scales of the clips; for training, the largest that may be drawn.
            ranks: Number of processes on this machine.

        Raises:
            ValueError: If they do not fit.
        """
        in_flight: dict[str, int] = {}
        for stage in stages:
            sampler = self.clip_samplers[stage]
            views = sampler.num_views if isinstance(sampler, CountedClipSampler) else 1
            training = stage == "train"
            length, size = scales.largest if training else (scales.num_frames, scales.frame_size)
            in_flight[stage] = check_memory(
                stage,
                clips=self._num_videos(stage) * views * (self.order.num_repeats if training else 1),
                num_frames=length,
                frame_size=size,
                prefetched=PREFETCHED_BATCHES * self.num_workers,
            )
        check_shared_memory(in_flight, num_workers=self.num_workers, ranks=ranks)
        check_cores(self.num_workers, ranks=ranks)

    def _num_videos(self, stage: Stage) -> int:
        return self.test_batch_size if stage in ("test", "predict") else self.order.batch_size
