"""The Lightning task: a classifier with its loss, optimiser and metrics."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from pks4_lightning.batch import ClipSource, FrameInput, TokenEncoder, VideoBatch
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import preprocessing_of, resolve_backbone_config
from pks4_lightning.models.saved_reading import with_first_reading
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.checkpoints.init_from import start_from
from pks4_lightning.training.checkpoints.reading import check_label_names, check_state_dict
from pks4_lightning.training.learning.chunked_forward import ChunkedForward
from pks4_lightning.training.learning.loss import class_weights, cross_entropy
from pks4_lightning.training.learning.mixing import TwinWarning, mix_clips
from pks4_lightning.training.learning.parameter_groups import (
    layer_ids,
    no_weight_decay_names,
    parameter_groups,
)
from pks4_lightning.training.learning.recipe import Recipe, lr_factor
from pks4_lightning.training.learning.schedule import Schedule, resolve_schedule
from pks4_lightning.training.learning.tokens import check_tokens, encode, trunk_identity
from pks4_lightning.training.lightning_internals import data_module, has_trainer
from pks4_lightning.training.scoring.metrics import accuracies
from pks4_lightning.training.scoring.view_aggregation import VideoScores, score_videos

__all__ = ["VideoClassificationTask"]


class VideoClassificationTask(LightningModule):
    """Train and evaluate a video classifier, such as an image tower with one PKS⁴ module.

    Logged: ``train/loss`` per step; ``val/loss``, ``val/top1``, ``val/top5`` per epoch on one view
    per video; ``test/video_top1``, ``test/video_top5`` on the mean softmax over a video's views.

    Args:
        classifier: The architecture.
        recipe: The training recipe.
        init_from: Checkpoint, or folder of `pks4 export-weights`, whose weights a new training
            starts from. Its head is not used if the classes differ from those of the data; all
            other weights must fit. ``null``: the backbone's weights, and random ones.
    """

    classifier: VideoClassifier
    """Built by :meth:`configure_model`."""
    architecture: PKS4Config
    """The configuration of :attr:`classifier`, complete, without weights of the backbone."""
    schedule: Schedule
    """Resolved batch size, accumulation, steps and learning rate; set when training starts."""
    update_skipped: bool = False
    """Whether fp16's loss scaling skipped the last update; the learning rate then stays."""

    def __init__(
        self,
        classifier: PKS4Config,
        recipe: Recipe = Recipe(),  # noqa: B008 - frozen
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        self.init_from = init_from
        # A checkpoint contains plain dictionaries, so that it loads with `weights_only=True`.
        if isinstance(classifier, dict):
            classifier = PKS4Config(**with_first_reading(classifier))
        self.config = classifier
        self.recipe = Recipe(**recipe) if isinstance(recipe, dict) else recipe
        if self.recipe.prefix_loss and not self.config.causal:
            raise ValueError(
                f"recipe.prefix_loss is {self.recipe.prefix_loss:g}, but this classifier uses "
                "frames after the prefix: set --model.classifier.causal true."
            )
        self.passes = ChunkedForward(self.recipe.clips_per_pass)
        self.label_names: list[str] = []
        self._frames: FrameInput | None = None
        self._class_weights: Tensor | None = None
        self._twins = TwinWarning()
        self.val_loss = MeanMetric()
        self.val_metrics = accuracies("val/")
        self.test_metrics = accuracies("test/video_")

    @property
    def source(self) -> ClipSource:
        """The data module of the run."""
        source: ClipSource = data_module(self.trainer)
        return source

    def configure_model(self) -> None:
        """Build the classifier, once, inside the strategy's context, and shard it if requested."""
        if "classifier" in self._modules:
            return
        # Weights come from the checkpoint, so neither network nor backbone folder is needed.
        self.architecture = replace(resolve_backbone_config(self.config), pretrained=False)
        if self._frames is not None:
            self.architecture = replace(self.architecture, preprocessing=self._frames.as_settings())
        if self.init_from is None:
            classifier = build_classifier(self.config)
        else:
            classifier = build_classifier(self.architecture)
            start_from(
                classifier,
                self.init_from,
                config=self.architecture,
                label_names=self.label_names,
            )
        classifier.answers_prefixes = self.recipe.prefix_loss > 0
        classifier.freeze(self.recipe.trains)
        # Determined before any wrapper flattens or renames the parameters.
        self._layer_ids = layer_ids(
            classifier, full_rate_embeddings=self.recipe.embedding_rate == "full"
        )
        self._no_decay = no_weight_decay_names(
            classifier, spare_class_route=not self.recipe.decay_class_route
        )
        if self.device_mesh is not None:
            fully_shard(classifier, mesh=self.device_mesh["data_parallel"])
        self.classifier = classifier

    def setup(self, stage: str) -> None:
        """Match data and model to each other, and resolve batch size, accumulation and steps.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            ValueError: If data and model differ in the number of classes, or the model cannot cut
                the frames into patches.
        """
        source = data_module(self.trainer)
        if not isinstance(source, ClipSource):
            raise TypeError(
                f"{type(self).__name__} needs a data module such as VideoDataModule, "
                f"got {type(source).__name__}."
            )
        self.check_labels(source)
        architecture = resolve_backbone_config(self.config)
        assert architecture.backbone_config is not None
        assert architecture.grid_size != "own"
        wanted = preprocessing_of(self.config)
        self._frames = source.match_frames(wanted, is_known=architecture.preprocessing is not None)
        source.match_patches(
            patch_size=architecture.backbone_config["patch_size"],
            grid_size=architecture.grid_size,
        )
        if source.token_cache is not None:
            check_tokens(self.recipe, self.config, is_sharded=self.device_mesh is not None)
        source.encode_with(TokenEncoder(self._encode, self._trunk_identity))
        if stage == "fit":
            self._class_weights = class_weights(
                self.recipe.class_weights,
                source.train_labels(),
                num_classes=self.config.num_classes,
            )
            self.schedule = resolve_schedule(self.recipe, source, self.trainer)
            self.trainer.accumulate_grad_batches = self.schedule.accumulation

    def _encode(self, video: Float[Tensor, "B C T H W"]) -> Tensor:
        return encode(self.classifier, video.to(self.device), self.trainer)

    def _trunk_identity(self) -> str:
        return trunk_identity(self.classifier, self.architecture, self.trainer)

    def check_labels(self, source: ClipSource) -> None:
        """Adopt the class names of the data.

        Args:
            source: The data module, set up; if it only predicts, it has no names.

        Raises:
            ValueError: If data and model differ in the number of classes.
        """
        num_names = len(source.label_names)
        if num_names not in (0, self.config.num_classes):
            raise ValueError(
                f"The data has {num_names} classes, the model {self.config.num_classes}: set "
                f"--model.classifier.num_classes {num_names}, or point --data.root to the data "
                "set that the model is for."
            )
        self.label_names = list(source.label_names) or self.label_names

    def forward(
        self,
        video: Float[Tensor, "B C T H W"] | Float[Tensor, "B T L E"],
        patch_size: int | None = None,
        relative_cost: float = 1.0,
        whole_batch: int | None = None,
    ) -> Float[Tensor, "B K"] | Float[Tensor, "B T K"]:
        """Return the logits of normalised clips.

        Args:
            video: The clips, or their tokens from the frozen blocks.
            patch_size: Side of a patch in pixels; ``None``: decided by the model.
            relative_cost: As in a batch; above 1, fewer clips are processed at a time.
            whole_batch: As in a batch.
        """
        return self.passes(self.classifier, video, patch_size, relative_cost, whole_batch)

    def on_train_start(self) -> None:
        """Put frozen modules into evaluation mode: no dropout, fixed running statistics.

        The classifier itself stays in training mode, which tells a training step from a test. An
        epoch that is resumed does not call `on_train_epoch_start`.
        """
        frozen: Iterable[nn.Module] = ()
        if self.recipe.trains == "head":
            frozen = self.classifier.children()
        elif self.recipe.trains == "after_insertion":
            frozen = self.classifier.trunk()
        for part in frozen:
            part.eval()

    def training_step(self, batch: VideoBatch, batch_idx: int) -> Tensor:
        """Return the loss of one micro-batch, mixed by mixup or cutmix.

        Args:
            batch: Clips with their labels.
            batch_idx: Index of the micro-batch in the epoch; part of the seed of the mixture.
        """
        # Seeded by (seed, epoch, batch, rank) only, so that a resumed run mixes in the same way.
        rng = np.random.default_rng(
            (torch.initial_seed(), self.current_epoch, batch_idx, self.global_rank)
        )
        video, target = mix_clips(
            batch["video"],
            batch["label"],
            num_classes=self.config.num_classes,
            recipe=self.recipe,
            rng=rng,
        )
        self._twins.watch(batch["video_path"], self.recipe)
        scale = (batch.get("patch_size"), batch.get("relative_cost", 1.0), batch.get("whole_batch"))
        logits = self(video, *scale).float()
        loss = self.loss(logits if logits.ndim == 2 else logits[:, -1], target)
        if logits.ndim == 3:
            of_each_prefix = target.repeat_interleave(logits.shape[1], dim=0)
            loss = loss + self.recipe.prefix_loss * self.loss(logits.flatten(0, 1), of_each_prefix)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(target))
        return loss

    def loss(self, logits: Float[Tensor, "B K"], target: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
        """Return the loss of the recipe; a callback may replace this method.

        Args:
            logits: Logits of the clips, in float32.
            target: Label distributions, mixed like the clips; rows sum to 1.
        """
        return cross_entropy(
            logits,
            target,
            label_smoothing=self.recipe.label_smoothing,
            weights=self._class_weights,
        )

    def validation_step(  # type: ignore[override]  # callbacks take the scores
        self, batch: VideoBatch, batch_idx: int
    ) -> VideoScores:
        """Count one batch of validation videos and return their scores."""
        videos = score_videos(self(batch["video"]), batch)
        if len(videos.label):
            log_scores = videos.scores.clamp_min(torch.finfo(videos.scores.dtype).tiny).log()
            negative_log_likelihood = F.nll_loss(log_scores, videos.label)
            self.val_loss.update(negative_log_likelihood, weight=len(videos.label))
            self.val_metrics.update(videos.scores, videos.label)
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log_dict(self.val_metrics, prog_bar=True)
        return videos

    def test_step(  # type: ignore[override]  # callbacks take the scores
        self, batch: VideoBatch, batch_idx: int
    ) -> VideoScores:
        """Count one batch of test videos, all views of each, and return their scores."""
        videos = score_videos(self(batch["video"]), batch)
        if len(videos.label):
            self.test_metrics.update(videos.scores, videos.label)
        self.log_dict(self.test_metrics)
        return videos

    def predict_step(self, batch: VideoBatch, batch_idx: int) -> VideoScores:
        """Return the scores of one batch of videos; their labels may be unknown."""
        return score_videos(self(batch["video"]), batch)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with layer-wise learning rates, and the schedule, stepped per batch."""
        optimizer = torch.optim.AdamW(
            parameter_groups(
                self.classifier.named_parameters(),
                layer_ids=self._layer_ids,
                no_decay=self._no_decay,
                lr=self.schedule.peak_lr,
                layer_decay=self.recipe.layer_decay,
                weight_decay=self.recipe.weight_decay,
                tower_rate=self.recipe.tower_rate,
            ),
            betas=self.recipe.betas,
            eps=self.recipe.eps,
        )
        factor = partial(
            lr_factor,
            total_steps=self.schedule.total_steps,
            warmup_steps=self.schedule.warmup_steps,
            floor=self.recipe.min_lr / self.recipe.base_lr,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Advance the learning rate schedule by one update, unless the update was skipped."""
        if not self.update_skipped:
            super().lr_scheduler_step(scheduler, metric)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what is needed to rebuild this task and its classifier's preprocessing."""
        checkpoint["hyper_parameters"] = {
            "classifier": asdict(self.architecture),
            "recipe": asdict(self.recipe),
        }
        checkpoint["label_names"] = self.label_names
        if has_trainer(self) and isinstance(source := data_module(self.trainer), ClipSource):
            # the command line has already stored all settings; a Python program has not
            trainer = {"precision": self.trainer.precision}
            settings = {"data": source.clip_settings(), "trainer": trainer}
            # through JSON, so that tuples become lists, as in a parsed configuration
            checkpoint.setdefault("config", json.loads(json.dumps(settings)))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adopt the label names, or refuse a checkpoint whose labels differ from the data's."""
        saved = list(checkpoint.get("label_names", []))
        if saved and has_trainer(self):
            self.source.match_labels(saved)
            self.label_names = list(self.source.label_names)
        if saved and self.label_names:
            check_label_names(saved=saved, data=self.label_names)
        self.label_names = self.label_names or saved

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights; missing, unexpected or misshapen tensors are refused by name."""
        check_state_dict(state_dict, self.state_dict())
        return super().load_state_dict(state_dict, strict=strict, assign=assign)
