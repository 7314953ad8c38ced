"""The data module: from a folder of videos to batches of clips on the device."""

import multiprocessing
import os
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from pks4_lightning.batch import VideoBatch
from pks4_lightning.data.annotations import AnnotationFormat, VideoList
from pks4_lightning.data.clip_sampling import (
    CentredSegmentClipSampler,
    RandomSegmentClipSampler,
    SegmentClipSampler,
)
from pks4_lightning.data.dataset import VideoDataset, join_views
from pks4_lightning.data.layout import DataLayout, list_for_prediction
from pks4_lightning.data.pytorchvideo_compat import ClipSampler
from pks4_lightning.data.randaugment import augment_clips
from pks4_lightning.data.sampler import VideoSampler
from pks4_lightning.data.transforms import Augmentation, flipped_labels
from pks4_lightning.data.video import Resize

__all__ = ["VideoDataModule"]

_Stage = Literal["train", "val", "test", "predict"]

_STAGES: dict[str | None, tuple[_Stage, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
}
_WORKER_TIMEOUT_SECONDS = 120
_PREFETCHED_BATCHES = 2
"""Per worker."""


class VideoDataModule(LightningDataModule):
    """Videos with labels, laid out as Something-Something V2 or Kinetics is, or plainly.

    With the official layouts ``root`` alone is enough: annotations, class names and videos are
    looked for where the data sets' archives put them. Every file and folder may be given, absolute
    or relative to ``root``.

    Training takes one random frame from each of ``num_frames`` equal segments of a video,
    validation the middle frames with a centre crop, testing and predicting ``num_clips`` ×
    ``num_crops`` views. All views of a video are in one batch of one rank.

    Args:
        root: Folder of the data set. Only predicting works without.
        format: ``ssv2`` (JSON), ``kinetics`` (CSV), ``list`` (lines of path and label), ``folder``
            (one per class); ``auto`` tells by the files.
        train: Training annotations, or the folder of class folders.
        val: Validation annotations.
        test: Test annotations. ``null``: the test split if there is one with labels, else the
            validation split.
        predict: A video, a folder of videos, or a text file with a path per line; unlabelled.
        labels: Names of all classes: Something-Something's JSON, or a text file with a name per
            line. ``null``: found, or else the training labels, sorted.
        videos: Folder with the videos. ``null``: found.
        num_frames: Frames per clip.
        frame_size: Side of the square that the model sees, in pixels.
        resize: Scaling of the frames before they are cropped, in training and testing alike: the
            length of the shorter side, or height and width, in pixels.
        batch_size: Training and validation videos per rank and micro-batch.
        test_batch_size: Test videos per rank and batch. ``null``: as many as keep the views of a
            batch at or below ``batch_size``, at least 1.
        num_repeats: Clips drawn from every video of a training batch (repeated augmentation).
        num_clips: Test clips per video.
        num_crops: Test crops per clip: left, centre and right for 3.
        num_workers: Processes that decode; 0 decodes in the main process.
        seed: Seed of the order and of every random draw.
        augmentation: Random changes of the training clips.
        mean: RGB mean that clips are normalised with, for values from 0 to 1; CLIP's.
        std: RGB standard deviation, likewise.
        train_sampler: A pytorchvideo ``ClipSampler`` in place of ours. It gives spans of seconds,
            over which the frames are spread evenly.
        val_sampler: The same for validation.
        test_sampler: The same for testing and predicting.

    Raises:
        ValueError: If a count is not positive, or crops do not fit into the resized frames.
    """

    def __init__(
        self,
        root: str | None = None,
        *,
        format: AnnotationFormat | Literal["auto"] = "auto",  # noqa: A002 - the YAML key reads best so
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        predict: str | None = None,
        labels: str | None = None,
        videos: str | None = None,
        num_frames: int = 8,
        frame_size: int = 224,
        resize: Resize = 256,
        batch_size: int = 16,
        test_batch_size: int | None = None,
        num_repeats: int = 1,
        num_clips: int = 1,
        num_crops: int = 1,
        num_workers: int = 4,
        seed: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073),
        std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711),
        train_sampler: ClipSampler | None = None,
        val_sampler: ClipSampler | None = None,
        test_sampler: ClipSampler | None = None,
    ) -> None:
        super().__init__()
        counts = {
            "num_frames": num_frames,
            "frame_size": frame_size,
            "batch_size": batch_size,
            "test_batch_size": 1 if test_batch_size is None else test_batch_size,
            "num_repeats": num_repeats,
            "num_clips": num_clips,
            "num_crops": num_crops,
            "num_workers": num_workers + 1,
        }
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"data.{name} is {value - (name == 'num_workers')}; "
                                 f"it must be at least {int(name != 'num_workers')}.")  # fmt: skip
        smallest = resize if isinstance(resize, int) else min(resize)
        if smallest < frame_size:
            raise ValueError(
                f"data.resize is {resize}, smaller than data.frame_size {frame_size}; crops of "
                "that size do not fit."
            )
        self.root = root
        self.format = format
        self.split_files = {"train": train, "val": val, "test": test}
        self.predict = predict
        self.labels = labels
        self.videos_folder = videos
        self.num_frames = num_frames
        self.frame_size = frame_size
        self.resize = resize
        self.batch_size = batch_size
        self.num_repeats = num_repeats
        self.num_workers = num_workers
        self.seed = seed
        self.augmentation = augmentation
        self.mean = tuple(mean)
        self.std = tuple(std)
        views = num_clips * num_crops
        self.test_batch_size = test_batch_size or max(1, batch_size // views)
        testing = test_sampler or CentredSegmentClipSampler(
            num_frames, num_clips=num_clips, num_crops=num_crops
        )
        self.clip_samplers: dict[str, ClipSampler] = {
            "train": train_sampler or RandomSegmentClipSampler(num_frames),
            "val": val_sampler or CentredSegmentClipSampler(num_frames),
            "test": testing,
            "predict": testing,
        }
        self.label_names: list[str] = []
        self._videos: dict[str, VideoList] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations of a stage; everything that can be refused is refused here.

        Args:
            stage: Lightning's ``fit``, ``validate``, ``test`` or ``predict``; ``None`` means all
                for which something is there.

        Raises:
            FileNotFoundError: If the root, annotations or videos do not exist.
            ValueError: If annotations are malformed, a label is unknown, or the clips in flight
                need more memory than the machine has.
        """
        stages = _STAGES.get(stage, ("train", "val", "test"))
        if stage is None and self.predict is not None:
            stages = (*stages, "predict")
        self._check_memory(stages)
        layout = None
        for name in stages:
            if name in self._videos:
                continue
            if name == "predict":
                self._videos[name] = self._predict_list()
            else:
                layout = layout or self._layout()
                self._videos[name] = layout.read(name)
                self.label_names = layout.label_names()

    def videos(self, split: Literal["train", "val", "test", "predict"]) -> VideoList:
        """Return the videos of a split, in the order that ``video_index`` counts.

        Args:
            split: One that ``setup`` has read.

        Raises:
            KeyError: If ``setup`` has not read it.
        """
        return self._videos[split]

    def missing_videos(self, split: Literal["val", "test", "predict"]) -> list[str]:
        """Return what the annotations of a split list and the disk does not hold.

        Args:
            split: One that ``setup`` has read.
        """
        return list(self._videos[split].missing)

    def num_train_batches(self) -> int:
        """Return the micro-batches per epoch on each rank.

        The last batch is left out where it is not full, unless it is the only one.

        Raises:
            ValueError: If there are fewer videos than ranks.
        """
        num_videos, num_ranks = len(self._videos["train"]), self._order("train").world_size
        if num_videos < num_ranks:
            raise ValueError(
                f"{num_videos} training videos cannot be shared by {num_ranks} ranks; lower "
                "trainer.devices or trainer.num_nodes."
            )
        return max(1, self._order("train").num_videos_per_rank // self.batch_size)

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        """Return shuffled training clips, ``num_repeats`` of every video next to each other."""
        dataset = self._dataset(
            "train",
            augmentation=self.augmentation,
            flips=flipped_labels(self.label_names, self.augmentation.flip_label_pairs),
        )
        return self._loader("train", dataset, self.batch_size * self.num_repeats)

    def val_dataloader(self) -> DataLoader[VideoBatch]:
        """Return the validation clips."""
        return self._loader("val", self._dataset("val"), self.batch_size)

    def test_dataloader(self) -> DataLoader[VideoBatch]:
        """Return all views of the test videos."""
        return self._loader("test", self._dataset("test"), self.test_batch_size)

    def predict_dataloader(self) -> DataLoader[VideoBatch]:
        """Return all views of the videos to predict, with label -1."""
        return self._loader("predict", self._dataset("predict"), self.test_batch_size)

    @torch.no_grad()
    def on_after_batch_transfer(self, batch: VideoBatch, dataloader_idx: int) -> VideoBatch:  # noqa: ARG002 - Lightning's
        """Augment training clips and normalise all, on the device.

        Args:
            batch: Clips of 8-bit values.
            dataloader_idx: Not used.

        Returns:
            The batch with float32 clips.
        """
        training = self.trainer is not None and self.trainer.training
        return {**batch, "video": self.to_model_input(batch, training=training)}

    def to_model_input(self, batch: VideoBatch, *, training: bool) -> Tensor:
        """Return a batch's clips as the model sees them: augmented if ``training``, normalised.

        Args:
            batch: Clips of 8-bit values, on any device.
            training: Apply the random augmentations.
        """
        video = batch["video"].float() / 255
        if training:
            video = augment_clips(video, batch["draw_seed"], self.augmentation, fill=self.mean)
        mean, std = (video.new_tensor(value).view(3, 1, 1, 1) for value in (self.mean, self.std))
        return (video - mean) / std

    def to_pixels(self, video: Float[Tensor, "B C T H W"]) -> UInt8[Tensor, "B T H W C"]:
        """Undo the normalisation, for a person to look at.

        Args:
            video: Clips as the model sees them.
        """
        mean, std = (video.new_tensor(value).view(3, 1, 1, 1) for value in (self.mean, self.std))
        pixels = ((video * std + mean) * 255).round().clamp(0, 255)
        return pixels.permute(0, 2, 3, 4, 1).to(torch.uint8)

    def _layout(self) -> DataLayout:
        if self.root is None:
            raise ValueError("data.root is not set; it names the folder of the data set.")
        return DataLayout(
            self.root,
            annotation_format=self.format,
            labels=self.labels,
            videos=self.videos_folder,
            **self.split_files,
        )

    def _predict_list(self) -> VideoList:
        if self.predict is None:
            raise ValueError(
                "data.predict is not set; it names a video, a folder of videos or a list of them."
            )
        return list_for_prediction(self.predict)

    def _dataset(
        self,
        stage: _Stage,
        *,
        augmentation: Augmentation | None = None,
        flips: tuple[int, ...] = (),
    ) -> VideoDataset:
        return VideoDataset(
            self._videos[stage],
            clip_sampler=self.clip_samplers[stage],
            num_frames=self.num_frames,
            frame_size=self.frame_size,
            resize=self.resize,
            seed=self.seed,
            augmentation=augmentation,
            flipped_labels=flips,
        )

    def _order(self, stage: _Stage) -> VideoSampler:
        training = stage == "train"
        return VideoSampler(
            len(self._videos[stage]),
            num_repeats=self.num_repeats if training else 1,
            shuffle=training,
            uneven="drop" if training else "pad",
            seed=self.seed,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
        )

    def _loader(
        self, stage: _Stage, dataset: VideoDataset, requests_per_batch: int
    ) -> DataLoader[VideoBatch]:
        order = self._order(stage)
        with_workers: dict[str, Any] = {}
        if self.num_workers > 0:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["pks4_lightning.data.dataset"])
            with_workers = {
                # a forked copy of a process that has decoded video can hang for ever
                "multiprocessing_context": context,
                "persistent_workers": True,
                "prefetch_factor": _PREFETCHED_BATCHES,
                "timeout": _WORKER_TIMEOUT_SECONDS,
            }
        return DataLoader(
            dataset,
            batch_size=requests_per_batch,
            sampler=order,
            drop_last=stage == "train" and len(order) >= requests_per_batch,
            collate_fn=join_views,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            **with_workers,
        )

    def _check_memory(self, stages: tuple[_Stage, ...]) -> None:
        """Refuse clips that cannot fit: the batches in flight as bytes, and one as floats."""
        available = _physical_memory()
        for stage in stages:
            sampler = self.clip_samplers[stage]
            views = sampler.num_views if isinstance(sampler, SegmentClipSampler) else 1
            videos = self.test_batch_size if stage in ("test", "predict") else self.batch_size
            clips = videos * views * (self.num_repeats if stage == "train" else 1)
            batch_bytes = clips * 3 * self.num_frames * self.frame_size**2
            needed = batch_bytes * (1 + _PREFETCHED_BATCHES * self.num_workers + 4)
            if needed > available:
                raise ValueError(
                    f"More frames than memory allows: {stage} batches of {clips} clips × "
                    f"{self.num_frames} frames of {self.frame_size} pixels need "
                    f"{needed / 2**30:.1f} GiB with {self.num_workers} workers, and this machine "
                    f"has {available / 2**30:.1f} GiB; lower data.num_frames, data.batch_size or "
                    "data.num_workers."
                )


def _physical_memory() -> float:
    """Bytes of memory of this machine, or of the container that limits it."""
    physical = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(physical, float(limit.read_text()))
    except (OSError, ValueError):
        return physical
