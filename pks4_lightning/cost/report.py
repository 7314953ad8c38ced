"""All costs of one training configuration, as plain values."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pks4_lightning.cost.flops import Flops, count_flops, total_flops
from pks4_lightning.cost.memory import peak_of_step, saved_for_backward
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.cost.throughput import measure
from pks4_lightning.cost.training_compute import training_eflops
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.config import PKS4Config

__all__ = ["CostSettings", "cost_report"]


@dataclass(frozen=True, kw_only=True)
class CostSettings:
    """The settings that determine the cost of a training and a test."""

    classifier: PKS4Config
    clips: ClipBatch
    """The clips of one training step on one device."""
    trains: str = "all"
    """As in ``recipe.trains``."""
    num_clips: int
    """Test clips per video."""
    num_crops: int
    """Test crops per clip."""
    precision: str
    """As in ``trainer.precision``."""
    num_videos: int
    """Number of training videos."""
    num_epochs: int
    """Number of epochs; 0 if no training is described."""


def cost_report(settings: CostSettings, *, measured: bool = False) -> dict[str, Any]:
    """Count, and optionally measure, the cost of a configuration.

    Args:
        settings: The configuration.
        measured: Also time this device and, on a GPU, measure the memory of a step.

    Returns:
        ``parameters``; ``flops`` in both conventions, per view and per video; ``training_eflops``
        if a training is described; ``memory`` in bytes without and with gradient checkpointing;
        ``measured``, for the same two cases, if requested.

    Raises:
        FileNotFoundError: If the backbone's architecture cannot be found.
        ValueError: If the configuration does not fit its backbone.
    """
    classifier, clips = meta_classifier(settings.classifier, settings.trains), settings.clips
    by_part = count_parameters(classifier)
    flops = count_flops(classifier, num_frames=clips.num_frames, frame_size=clips.frame_size)
    per_view = _conventions(total_flops(flops))
    views = settings.num_clips * settings.num_crops
    report: dict[str, Any] = {
        "parameters": {
            "total": sum(by_part.values()),
            "trainable": sum(count_parameters(classifier, trainable=True).values()),
            "by_part": by_part,
        },
        "flops": {
            "views": f"{clips.num_frames}×{settings.num_clips}×{settings.num_crops}",
            "per_view": per_view,
            "per_video": {name: views * count for name, count in per_view.items()},
            "by_part": {part: _conventions(count) for part, count in flops.items()},
        },
        **_training(settings, per_view),
        "memory": [_memory(settings, checkpointing) for checkpointing in (False, True)],
    }
    if measured:
        report["measured"] = [_measured(settings, use) for use in (False, True)]
    return report


def _conventions(flops: Flops) -> Mapping[str, int]:
    return {"paper": flops.paper, "all_matmuls": flops.all_matmuls}


def _training(settings: CostSettings, per_view: Mapping[str, int]) -> dict[str, Any]:
    if not settings.num_epochs:
        return {}
    size = {"num_videos": settings.num_videos, "num_epochs": settings.num_epochs}
    eflops = {name: training_eflops(count, **size) for name, count in per_view.items()}
    return {"training_eflops": {**size, **eflops}}


def _memory(settings: CostSettings, checkpointing: bool) -> dict[str, Any]:
    config = dataclasses.replace(settings.classifier, gradient_checkpointing=checkpointing)
    clips, precision = settings.clips, Precision.named(settings.precision)
    saved = saved_for_backward(
        config,
        num_frames=clips.num_frames,
        frame_size=clips.frame_size,
        precision=precision,
        trains=settings.trains,
    )
    return {
        "gradient_checkpointing": checkpointing,
        "precision": settings.precision,
        "saved_per_clip": saved.per_clip,
        "saved_whatever_the_batch": saved.fixed,
        "clips_per_step": clips.num_clips,
        "peak_of_step": peak_of_step(config, clips, precision, settings.trains),
    }


def _measured(settings: CostSettings, checkpointing: bool) -> dict[str, Any]:
    config = dataclasses.replace(settings.classifier, gradient_checkpointing=checkpointing)
    measured = measure(
        config,
        settings.clips,
        Precision.named(settings.precision),
        trains=settings.trains,
    )
    return {"gradient_checkpointing": checkpointing, **dataclasses.asdict(measured)}
