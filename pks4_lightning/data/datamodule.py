"""The data module: from a folder of videos to batches of clips on the device."""

import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, UInt8
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from pks4_lightning.batch import Colour, FrameInput, Split, Stage, TokenEncoder, VideoBatch
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.prediction import list_for_prediction
from pks4_lightning.data.annotations.reading import FormatName, VideoList
from pks4_lightning.data.clips.flexible import FlexibleScales
from pks4_lightning.data.clips.frame_settings import CLIP_INPUT, FrameSettings
from pks4_lightning.data.clips.normalisation import Normalisation
from pks4_lightning.data.clips.pool import ClipPool
from pks4_lightning.data.clips.scales import ClipScales
from pks4_lightning.data.clips.stage_samplers import stage_samplers
from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.inspection.quarantine import FailureCount
from pks4_lightning.data.loading.stages import StageLoaders
from pks4_lightning.data.loading.training_order import Rank, RepeatFrames, TrainingOrder
from pks4_lightning.data.loading.worker_activity import videos_at_work
from pks4_lightning.data.splits import SplitVideos, stages_of
from pks4_lightning.data.token_cache import TokenCache
from pks4_lightning.data.video.frame_source import Resize
from pks4_lightning.data.video.pytorchvideo_compat import ClipSampler
from pks4_lightning.ranges import check_at_least

__all__ = ["VideoDataModule"]

_OF_TESTS = ("num_clips", "num_crops")


class VideoDataModule(LightningDataModule):
    """Videos with labels, in the layout of a published data set or in a plain one.

    For a published layout, ``root`` is enough; files and folders may also be given explicitly,
    absolute or relative to it. A video is a file, or a folder of numbered pictures.

    Training takes one random frame from each of ``num_frames`` equal segments of a video;
    validation takes the middle frames with a centre crop; testing and predicting take
    ``num_clips`` × ``num_crops`` views. With a ``frame_rate``, frames have that rate instead, and
    training clips begin anywhere. All views of a video are in one batch of one rank.

    Args:
        root: Folder of the data set. Only predicting works without it.
        format: Layout of the annotations: that of a published data set, or ``csv`` (a header
            with a path and a label), ``list`` (lines of path and label), ``frames`` (lines of
            folder, number of frames and label), ``folder`` (one per class). ``auto`` detects the
            format from the files and logs it.
        train: Training annotations, or the folder of class folders.
        val: Validation annotations.
        test: Test annotations. ``null``: the test split if it has labels, else validation.
        predict: Videos to label, folders, patterns, or lists of paths; ``-``: standard input.
        labels: Names of all classes: Something-Something's JSON, or a text file with one name per
            line. ``null``: searched for, otherwise the sorted training labels.
        remap_labels: If a checkpoint has the same class names in another order, renumber the
            data's classes to match the checkpoint instead of refusing it.
        videos: Folder with the videos. ``null``: searched for.
        fold: Official split to use: 1 to 3 for UCF-101 and HMDB-51, 1 to 4 for Breakfast.
        allow_missing: Share of a split's listed videos that may be missing on disk; they are
            logged, counted, and scored as wrong in a test's report.
        frame_template: File names of the pictures if videos are folders of pictures, such as
            ``img_{:05d}.jpg``. ``null``: detected.
        num_frames: Frames per clip.
        frame_rate: Frames per second, as in a stream. ``null``: a clip is spread over the whole
            video.
        frame_size: Side of the square that the model sees, in pixels. ``null``: that of the
            images its backbone was trained on.
        resize: Size of the frames before cropping, in training and testing: length of the shorter
            side, or height and width, in pixels. ``null``: 256 on the shorter side, or 8/7 of a
            ``frame_size`` above 256.
        flexible: Distribution of the scale of training clips, drawn for every optimiser step.
            Validation and test clips have ``num_frames`` and ``frame_size``.
        batch_size: Training and validation videos per rank and micro-batch.
        test_batch_size: Test videos per rank and batch. ``null``: as many as keep the number of
            views at or below ``batch_size``, at least 1.
        num_repeats: Clips drawn from every video of a training batch (repeated augmentation).
        repeat_frames: ``drawn``: each of these clips has its own frames. ``shared``: they are
            different augmentations of the same frames, which halves decoding for two repeats.
        balanced: Sample all classes equally often in training: videos of small classes several
            times per epoch, not all videos of large classes.
        num_clips: Test clips per video.
        num_crops: Test crops per clip: left, centre and right for 3.
        num_workers: Processes that decode; 0 decodes in the main process.
        worker_timeout: Seconds after which a worker that is stuck on one video is killed and the
            run stops.
        manifest: Result of `pks4 data index`. ``null``: ``.pks4/manifest.jsonl`` below ``root``,
            if it exists. Training skips quarantined videos; in the other splits they count as
            failed.
        max_bad_fraction: Share of the training videos that may turn out to be undecodable, and are
            replaced by other videos, before training stops. One is always tolerated.
        seed: Seed of the order and of all random draws.
        augmentation: Random changes of the training clips.
        pool: Restricts clips to a finite set of frames and views of each video.
        token_cache: Folder in which the output of a model's frozen blocks is stored for the clips
            of the pool, so that it is computed once. ``null``: none.
        mean: RGB mean for normalising values from 0 to 1. ``null``: that of the model's backbone.
        std: RGB standard deviation, likewise.
        train_sampler: A pytorchvideo ``ClipSampler`` to use instead of ours. It returns time spans
            in seconds, over which the frames are spread evenly.
        val_sampler: The same for validation.
        test_sampler: The same for testing and predicting.

    Raises:
        ValueError: If a count is not positive, or crops do not fit into the resized frames.
    """

    def __init__(
        self,
        root: str | None = None,
        *,
        format: FormatName = "auto",  # noqa: A002 - the YAML key reads best so
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        predict: list[str] | str | None = None,
        labels: str | None = None,
        remap_labels: bool = False,
        videos: str | None = None,
        fold: int = 1,
        allow_missing: float = 0.01,
        frame_template: str | None = None,
        num_frames: int = 8,
        frame_rate: float | None = None,
        frame_size: int | None = None,
        resize: Resize | None = None,
        flexible: FlexibleScales = FlexibleScales(),  # noqa: B008 - frozen
        batch_size: int = 16,
        test_batch_size: int | None = None,
        num_repeats: int = 1,
        repeat_frames: RepeatFrames = "drawn",
        balanced: bool = False,
        num_clips: int = 1,
        num_crops: int = 1,
        num_workers: int = 4,
        worker_timeout: float = 120.0,
        manifest: str | None = None,
        max_bad_fraction: float = 0.001,
        seed: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen
        pool: ClipPool = ClipPool(),  # noqa: B008 - frozen
        token_cache: str | None = None,
        mean: Colour | None = None,
        std: Colour | None = None,
        train_sampler: ClipSampler | None = None,
        val_sampler: ClipSampler | None = None,
        test_sampler: ClipSampler | None = None,
    ) -> None:
        super().__init__()
        check_at_least(1, {"data.num_clips": num_clips, "data.num_crops": num_crops})
        self._frames = FrameSettings(frame_size=frame_size, resize=resize, mean=mean, std=std)
        start = self._frames.completed(CLIP_INPUT)
        self.scales = ClipScales(
            num_frames=num_frames,
            frame_size=start.size,
            resize=self._frames.resize_for(start.size),
            flexible=flexible,
            seed=seed,
        )
        self.normalisation = Normalisation(start.mean, start.std)
        self.order = TrainingOrder(
            batch_size=batch_size,
            num_repeats=num_repeats,
            repeat_frames=repeat_frames,
            balanced=balanced,
            seed=seed,
        )
        if test_batch_size is None:
            test_batch_size = max(1, batch_size // (num_clips * num_crops))
        self._views: dict[str, Any] = {
            "frame_rate": frame_rate, "num_clips": num_clips, "num_crops": num_crops,
        }  # fmt: skip
        self.loaders = StageLoaders(
            clip_samplers=stage_samplers(
                num_frames,
                **self._views,
                given={"train": train_sampler, "val": val_sampler, "test": test_sampler},
            ),
            test_batch_size=test_batch_size,
            order=self.order,
            augmentation=augmentation,
            pool=pool,
            num_workers=num_workers,
            worker_timeout=worker_timeout,
        )
        self.token_cache = token_cache
        self._tokens = TokenCache(token_cache, self.loaders, self.scales)
        self.failures = FailureCount(max_bad_fraction)
        self._layout = partial(
            DataLayout,
            annotation_format=format,
            train=train,
            val=val,
            test=test,
            labels=labels,
            videos=videos,
            fold=fold,
            frame_template=frame_template,
        )
        self.root = root
        self.format = format
        self.predict = predict
        self.remap_labels = remap_labels
        self.allow_missing = allow_missing
        self.frame_template = frame_template
        self.batch_size = batch_size
        self.manifest = manifest
        self._splits = SplitVideos(manifest)

    def encode_with(self, encoder: TokenEncoder) -> None:
        """Fill the token cache, if there is one, with this encoder, before a loader is made."""
        self._tokens.encoder = encoder

    @property
    def num_frames(self) -> int:
        """Frames per clip, unless training draws the number."""
        return self.scales.num_frames

    @property
    def frame_size(self) -> int:
        """Side of the square that the model sees, in pixels, unless training draws it."""
        return self.scales.frame_size

    @property
    def label_names(self) -> list[str]:
        """Names of all classes, by class index; empty until a labelled split has been read."""
        return self._splits.label_names

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations of a stage; invalid settings and annotations are refused here.

        Args:
            stage: Lightning's ``fit``, ``validate``, ``test`` or ``predict``; ``None`` means all
                that have data.

        Raises:
            FileNotFoundError: If the root, annotations or videos do not exist.
            ValueError: If annotations are malformed, a label is unknown, or the clips in flight
                need more memory than the machine has.
        """
        stages = stages_of(stage, predicts=self.predict is not None)
        ranks = self.trainer.num_devices if self.trainer else 1
        self.loaders.check_machine(stages, self.scales, ranks=ranks)
        unread = [name for name in stages if name not in self._splits.videos]
        if labelled := [name for name in unread if name != "predict"]:
            self._splits.read(self.layout(), labelled)
        if "predict" in unread:
            self._splits.videos["predict"] = list_for_prediction(
                self.predict, frame_template=self.frame_template
            )

    def videos(self, split: Stage) -> VideoList:
        """Return the videos of a split that ``setup`` has read, indexed by ``video_index``."""
        return self._splits.videos[split]

    def train_labels(self) -> Sequence[int]:
        """Return the class of every training video."""
        return self.videos("train").labels

    def match_labels(self, label_names: Sequence[str]) -> None:
        """Number the classes as a model does, if ``remap_labels`` is set; refuse other names."""
        if self.remap_labels and self.label_names:
            self._splits.number_as(label_names)

    def missing_videos(self, split: Stage) -> list[str]:
        """Return the videos that a split's annotations list but that are missing on disk."""
        return list(self._splits.videos[split].missing)

    def test_split(self) -> tuple[Split, str]:
        """Return the split that a test scores and its source, relative to ``root``."""
        videos = self.videos("test")
        return videos.split or "test", os.path.relpath(videos.source, self.root or ".")

    def leave_out(self, paths: Collection[str]) -> int:
        """Predict all videos except those with these paths; return how many remain."""
        self._splits.videos["predict"] = self.videos("predict").without(set(paths))
        return len(self.videos("predict"))

    def videos_at_work(self) -> list[str]:
        """Return the videos that the workers are processing, the slowest first."""
        return videos_at_work()

    def train_dataloader(self) -> DataLoader[VideoBatch]:
        """Return shuffled training clips; the ``num_repeats`` clips of a video are adjacent."""
        loader = self._loader("train")
        self.order.begin_anew()
        return loader

    def val_dataloader(self) -> DataLoader[VideoBatch]:
        """Return the validation clips."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[VideoBatch]:
        """Return all views of the test videos."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[VideoBatch]:
        """Return all views of the videos to predict, with label -1."""
        return self._loader("predict")

    def num_train_batches(self) -> int:
        """Return the micro-batches per epoch on each rank; refuse fewer videos than ranks."""
        return self.order.num_batches(len(self.videos("train")), self._rank)

    def training_list(self) -> dict[str, Any]:
        """Return what training clips and their order depend on, under names a user knows."""
        made = {
            **self.clip_settings(),
            "num_repeats": self.order.num_repeats,
            "repeat_frames": self.order.repeat_frames,
            "augmentation": asdict(self.loaders.augmentation),
            "flexible": asdict(self.scales.flexible),
            "pool": asdict(self.loaders.pool),
        }
        terms = {f"data.{name}": value for name, value in made.items() if name not in _OF_TESTS}
        return terms | self.order.terms(self.videos("train"))

    def resume_training(self, *, epoch: int, num_videos: int, failed: Sequence[str]) -> None:
        """Start the next loader within an epoch; ``failed`` as in :meth:`failed_train_videos`."""
        self.order.begin_within(epoch=epoch, num_videos=num_videos)
        self.failures.reasons = list(failed)

    def failed_train_videos(self) -> list[str]:
        """Return why training videos could not be decoded so far, one sentence per file."""
        return list(self.failures.reasons)

    def refusal(self) -> str | None:
        """Return why training cannot continue with this data, if too much of it is undecodable."""
        return self.failures.refusal(num_videos=len(self.videos("train")))

    def match_frames(self, wanted: FrameInput, *, is_known: bool) -> FrameInput:
        """Adopt the frame settings that are left to the model (:meth:`FrameSettings.completed`)."""
        agreed = self._frames.completed(wanted, is_known=is_known)
        resize = self._frames.resize_for(agreed.size)
        self.scales = replace(self.scales, frame_size=agreed.size, resize=resize)
        self.normalisation = Normalisation(agreed.mean, agreed.std)
        return agreed

    def match_patches(self, *, patch_size: int, grid_size: int | None) -> None:
        """Choose a frame size that the model can cut into patches, after :meth:`match_frames`."""
        self.scales = self.scales.matched(patch_size=patch_size, grid_size=grid_size)

    def mean_draws(self) -> dict[str, float]:
        """Return the averages of what training clips draw at random; empty without draws."""
        draws = self.scales.draws()
        return {} if draws is None else draws.means(self.batch_size)

    def clip_settings(self) -> dict[str, Any]:
        """Return how test clips are made, under the names of the settings."""
        frames = {name: getattr(self.scales, name) for name in ("num_frames", "frame_size")}
        return {**frames, "resize": self.scales.resize, **asdict(self.normalisation), **self._views}

    @torch.no_grad()
    def on_after_batch_transfer(self, batch: VideoBatch, dataloader_idx: int) -> VideoBatch:  # noqa: ARG002 - Lightning's
        """Normalise clips on the device, and count the training videos that failed.

        Raises:
            ValueError: One batch after :meth:`refusal` returns a reason to stop training.
        """
        if self.trainer is not None and self.trainer.training:
            if (refusal := self.refusal()) is not None:
                raise ValueError(refusal)
            self.failures.add(batch["failure"])
        return {**batch, "video": self.to_model_input(batch)}

    def to_model_input(self, batch: VideoBatch) -> Tensor:
        """Return a batch's clips as the model sees them: normalised, or as tokens."""
        if batch["video"].ndim == 4:
            return batch["video"]
        return self.normalisation.normalise(batch["video"].float() / 255)

    def to_pixels(self, video: Float[Tensor, "B C T H W"]) -> UInt8[Tensor, "B T H W C"]:
        """Undo the normalisation of clips, for display."""
        return self.normalisation.to_pixels(video)

    def layout(self) -> DataLayout:
        """Return the reader of the annotations below ``root``, which must be set and exist."""
        if self.root is None:
            raise ValueError("data.root is not set; set it to the folder of the data set.")
        return self._layout(self.root, allow_missing=self.allow_missing)

    @property
    def _rank(self) -> Rank:
        trainer = self.trainer
        return Rank() if trainer is None else Rank(trainer.global_rank, trainer.world_size)

    def _loader(self, stage: Stage) -> DataLoader[VideoBatch]:
        dataset = self.loaders.dataset(
            stage,
            self.videos(stage),
            scales=self.scales,
            label_names=self.label_names,
            known=self._splits.known.get(stage),
            store=self._tokens.store(stage, self.scales, self.normalisation),
        )
        self._tokens.fill(dataset, self.normalisation)
        return self.loaders.loader(
            stage,
            dataset,
            scales=self.scales,
            rank=self._rank,
            accumulation=1 if self.trainer is None else self.trainer.accumulate_grad_batches,
        )
