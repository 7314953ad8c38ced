"""The data module: from a folder of videos to batches of clips on the device."""

from collections.abc import Collection, Sequence
from typing import Literal

import torch
from torch.utils.data import DataLoader

from pks4_lightning.batch import VideoBatch
from pks4_lightning.data.annotations.layout import DataLayout, list_for_prediction
from pks4_lightning.data.annotations.reading import AnnotationFormat, VideoList
from pks4_lightning.data.clips.flexible import FlexibleScales, StepScales
from pks4_lightning.data.clips.normalisation import DeviceSide
from pks4_lightning.data.clips.sampling import (
    CentredSegmentClipSampler,
    RandomSegmentClipSampler,
    SegmentClipSampler,
)
from pks4_lightning.data.clips.scales import FrameSizes
from pks4_lightning.data.clips.transforms import Augmentation, flipped_labels
from pks4_lightning.data.inspection.quarantine import FailureCount
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.loading.loader import PREFETCHED_BATCHES, video_loader
from pks4_lightning.data.loading.memory_check import check_counts, check_memory
from pks4_lightning.data.loading.training_order import TrainingOrder
from pks4_lightning.data.loading.worker_activity import OpenFiles, videos_at_work
from pks4_lightning.data.splits import SplitVideos
from pks4_lightning.data.video.frame_source import Resize
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler

__all__ = ["VideoDataModule"]

_Stage = Literal["train", "val", "test", "predict"]

_STAGES: dict[str | None, tuple[_Stage, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
}


class VideoDataModule(DeviceSide, FrameSizes, TrainingOrder):
    """Videos with labels, laid out as a published data set is, or plainly.

    With the official layouts ``root`` alone is enough: annotations, class names and videos are
    looked for where the data sets' archives put them. Every file and folder may be given, absolute
    or relative to ``root``. A video is a file, or a folder of numbered pictures.

    Training takes one random frame from each of ``num_frames`` equal segments of a video,
    validation the middle frames with a centre crop, testing and predicting ``num_clips`` ×
    ``num_crops`` views. All views of a video are in one batch of one rank.

    Args:
        root: Folder of the data set. Only predicting works without.
        format: ``ssv2``, ``diving48``, ``coin`` (JSON), ``kinetics`` (CSV), ``ucf101``, ``hmdb51``
            (lists), ``breakfast``, as published; ``csv`` (a header with a path and a label),
            ``list`` (lines of path and label), ``frames`` (lines of folder, number of frames and
            label), ``folder`` (one per class); ``auto`` tells by the files, and says so.
        train: Training annotations, or the folder of class folders.
        val: Validation annotations.
        test: Test annotations. ``null``: the test split if there is one with labels, else the
            validation split.
        predict: A video, a folder of videos, or a text file with a path per line; unlabelled.
        labels: Names of all classes: Something-Something's JSON, or a text file with a name per
            line. ``null``: found, or else the training labels, sorted.
        remap_labels: Where a checkpoint has the same class names in another order, number the
            data's classes as the checkpoint does, instead of refusing.
        videos: Folder with the videos. ``null``: found.
        fold: Which of the official splits of UCF-101, HMDB-51 (1 to 3) or Breakfast (1 to 4).
        allow_missing: Share of a split's listed videos that may be absent from the disk; they are
            named, counted, and in a test's report taken as wrong.
        frame_template: Name of the pictures where videos are folders of them, such as
            ``img_{:05d}.jpg``. ``null``: found.
        num_frames: Frames per clip.
        frame_size: Side of the square that the model sees, in pixels.
        resize: Scaling of the frames before they are cropped, in training and testing alike: the
            length of the shorter side, or height and width, in pixels.
        flexible: What the scale of training clips is drawn from, anew for every optimiser step.
            Validation and test clips have ``num_frames`` and ``frame_size``.
        batch_size: Training and validation videos per rank and micro-batch.
        test_batch_size: Test videos per rank and batch. ``null``: as many as keep the views of a
            batch at or below ``batch_size``, at least 1.
        num_repeats: Clips drawn from every video of a training batch (repeated augmentation).
        num_clips: Test clips per video.
        num_crops: Test crops per clip: left, centre and right for 3.
        num_workers: Processes that decode; 0 decodes in the main process.
        worker_timeout: Seconds after which a worker that is still at the same video is ended, and
            the run with it.
        manifest: What `pks4 data index` has found out. ``null``: ``.pks4/manifest.jsonl`` below
            ``root`` if it is there. Training leaves out what it quarantines; in the other splits
            that counts as failed.
        max_bad_fraction: Share of the training videos that may turn out to be undecodable, each
            with another video in its place, before the training stops. One always may.
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
        remap_labels: bool = False,
        videos: str | None = None,
        fold: int = 1,
        allow_missing: float = 0.01,
        frame_template: str | None = None,
        num_frames: int = 8,
        frame_size: int = 224,
        resize: Resize = 256,
        flexible: FlexibleScales = FlexibleScales(),  # noqa: B008 - frozen
        batch_size: int = 16,
        test_batch_size: int | None = None,
        num_repeats: int = 1,
        num_clips: int = 1,
        num_crops: int = 1,
        num_workers: int = 4,
        worker_timeout: float = 120.0,
        manifest: str | None = None,
        max_bad_fraction: float = 0.001,
        seed: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073),
        std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711),
        train_sampler: ClipSampler | None = None,
        val_sampler: ClipSampler | None = None,
        test_sampler: ClipSampler | None = None,
    ) -> None:
        super().__init__()
        check_counts(
            num_frames=num_frames,
            frame_size=frame_size,
            batch_size=batch_size,
            test_batch_size=1 if test_batch_size is None else test_batch_size,
            num_repeats=num_repeats,
            num_clips=num_clips,
            num_crops=num_crops,
        )
        check_counts(
            0,
            num_workers=num_workers,
            worker_timeout=worker_timeout,
            max_bad_fraction=max_bad_fraction,
        )
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
        self.remap_labels = remap_labels
        self.videos_folder = videos
        self.fold = fold
        self.allow_missing = allow_missing
        self.frame_template = frame_template
        self.num_frames = num_frames
        self.frame_size = frame_size
        self.resize = resize
        self.flexible = flexible
        self.batch_size = batch_size
        self.num_repeats = num_repeats
        self.num_workers = num_workers
        self.worker_timeout = worker_timeout
        self.manifest = manifest
        self.seed = seed
        self.augmentation = augmentation
        self.mean = mean
        self.std = std
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
        self._splits = SplitVideos(manifest)
        self.failures = FailureCount(max_bad_fraction)

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
        unread = [name for name in stages if name not in self._splits.videos]
        if labelled := [name for name in unread if name != "predict"]:
            self._splits.read(self.layout(), labelled)
            self.label_names = self._splits.label_names
        if "predict" in unread:
            self._splits.videos["predict"] = self._predict_list()

    def videos(self, split: Literal["train", "val", "test", "predict"]) -> VideoList:
        """Return the videos of a split, in the order that ``video_index`` counts.

        Args:
            split: One that ``setup`` has read.

        Raises:
            KeyError: If ``setup`` has not read it.
        """
        return self._splits.videos[split]

    def match_labels(self, label_names: Sequence[str]) -> None:
        """Number the classes as a model does that was trained on the same names.

        Does nothing unless ``remap_labels`` is set; call it before the loaders are made.

        Args:
            label_names: The model's class names, by output.

        Raises:
            ValueError: If a name is among the data's or the model's only.
        """
        if self.remap_labels and self.label_names:
            self._splits.number_as(label_names)
            self.label_names = self._splits.label_names

    def missing_videos(self, split: Literal["val", "test", "predict"]) -> list[str]:
        """Return what the annotations of a split list and the disk does not hold.

        Args:
            split: One that ``setup`` has read.
        """
        return list(self._splits.videos[split].missing)

    def leave_out(self, paths: Collection[str]) -> None:
        """Predict only the other videos.

        Args:
            paths: As :class:`VideoList` gives them.
        """
        self._splits.videos["predict"] = self._splits.videos["predict"].without(set(paths))

    def videos_at_work(self) -> list[str]:
        """Return the videos that the workers are at, the one that takes longest first."""
        return videos_at_work()

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        """Return shuffled training clips, ``num_repeats`` of every video next to each other."""
        dataset = self._dataset(
            "train",
            augmentation=self.augmentation,
            flips=flipped_labels(self.label_names, self.augmentation.flip_label_pairs),
        )
        loader = self._loader("train", dataset, self.batch_size * self.num_repeats)
        self._start = None
        return loader

    def val_dataloader(self) -> DataLoader[VideoBatch]:
        """Return the validation clips."""
        return self._loader("val", self._dataset("val"), self.batch_size)

    def test_dataloader(self) -> DataLoader[VideoBatch]:
        """Return all views of the test videos."""
        return self._loader("test", self._dataset("test"), self.test_batch_size)

    def predict_dataloader(self) -> DataLoader[VideoBatch] | list[VideoBatch]:
        """Return all views of the videos to predict, with label -1; nothing where none is left."""
        if not len(self._splits.videos["predict"]):
            return []
        return self._loader("predict", self._dataset("predict"), self.test_batch_size)

    @torch.no_grad()
    def on_after_batch_transfer(self, batch: VideoBatch, dataloader_idx: int) -> VideoBatch:  # noqa: ARG002 - Lightning's
        """Augment training clips and normalise all, on the device.

        Args:
            batch: Clips of 8-bit values.
            dataloader_idx: Not used.

        Returns:
            The batch with float32 clips.

        Raises:
            ValueError: One batch after too many videos have failed, if nobody who knows
                :meth:`refusal` has ended the training by then.
        """
        training = self.trainer is not None and self.trainer.training
        if training:
            if (refusal := self.refusal()) is not None:
                raise ValueError(refusal)
            self.failures.add(batch["failure"])
        return {**batch, "video": self.to_model_input(batch, training=training)}

    def layout(self) -> DataLayout:
        """Return the reader of the annotations below ``root``, with all settings.

        Raises:
            FileNotFoundError: If the root does not exist.
            ValueError: If it is not set.
        """
        if self.root is None:
            raise ValueError("data.root is not set; it names the folder of the data set.")
        return DataLayout(
            self.root,
            annotation_format=self.format,
            labels=self.labels,
            videos=self.videos_folder,
            fold=self.fold,
            allow_missing=self.allow_missing,
            frame_template=self.frame_template,
            **self.split_files,
        )

    def _predict_list(self) -> VideoList:
        if self.predict is None:
            raise ValueError(
                "data.predict is not set; it names a video, a folder of videos or a list of them."
            )
        return list_for_prediction(self.predict, frame_template=self.frame_template)

    def _dataset(
        self,
        stage: _Stage,
        *,
        augmentation: Augmentation | None = None,
        flips: tuple[int, ...] = (),
    ) -> VideoDataset:
        return VideoDataset(
            self._splits.videos[stage],
            clip_sampler=self.clip_samplers[stage],
            num_frames=self.num_frames,
            frame_size=self.frame_size,
            resize=self.resize,
            seed=self.seed,
            augmentation=augmentation,
            flipped_labels=flips,
            substitute=stage == "train",
            known=self._splits.known.get(stage),
            open_files=OpenFiles(self.num_workers, timeout=self.worker_timeout)
            if self.num_workers
            else None,
        )

    def _loader(
        self, stage: _Stage, dataset: VideoDataset, requests_per_batch: int
    ) -> DataLoader[VideoBatch]:
        order = self._order(stage)
        if stage == "train" and (draws := self.scale_draws()) is not None:
            order.scales = StepScales(
                draws=draws,
                requests_per_batch=requests_per_batch,
                batches_per_epoch=self.num_train_batches(),
                accumulation=1 if self.trainer is None else self.trainer.accumulate_grad_batches,
            )
        return video_loader(
            dataset,
            order,
            requests_per_batch=requests_per_batch,
            num_workers=self.num_workers,
            drop_last=stage == "train" and len(order) >= requests_per_batch,
        )

    def _check_memory(self, stages: tuple[_Stage, ...]) -> None:
        for stage in stages:
            sampler = self.clip_samplers[stage]
            views = sampler.num_views if isinstance(sampler, SegmentClipSampler) else 1
            videos = self.test_batch_size if stage in ("test", "predict") else self.batch_size
            drawn = self.flexible if stage == "train" else FlexibleScales()
            check_memory(
                stage,
                clips=videos * views * (self.num_repeats if stage == "train" else 1),
                num_frames=max(drawn.num_frames or [self.num_frames]),
                frame_size=max(drawn.frame_sizes or [self.frame_size]),
                prefetched=PREFETCHED_BATCHES * self.num_workers,
            )
