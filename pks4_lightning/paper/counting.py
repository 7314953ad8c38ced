"""Count the trained parameters and the operations of a row in every convention.

The tables mix conventions: rows of PKS^4 omit the attention's two products, those of the other
methods on CLIP include them, and those of VideoMamba count only projections.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.memory import peak_of_step, saved_for_backward
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.tables import Counting

__all__ = ["FRAME_SIZE", "Counts", "counts_of", "kept_per_clip", "peak_of"]

FRAME_SIZE = 224
"""Frame size in pixels, unless a row gives another."""


@dataclass(frozen=True)
class Counts:
    """The size of a classifier and the cost of one view."""

    trained: int
    """Number of trained parameters."""
    operations: dict[Counting, int]
    """Multiply-adds per view; ``projections`` for VideoMamba only."""


def counts_of(settings: Mapping[str, Any]) -> Counts:
    """Count the parameters and operations that a row describes.

    Args:
        settings: Settings of a :class:`~pks4_lightning.paper.tables.Row`.
    """
    frame_size = settings.get("frame_size", FRAME_SIZE)
    return _counts(json.dumps(settings["classifier"]), settings["num_frames"], frame_size)


def kept_per_clip(settings: Mapping[str, Any]) -> int:
    """Count the bytes per clip that a forward pass keeps for the backward pass.

    Args:
        settings: Settings of a :class:`~pks4_lightning.paper.tables.Row`, with a precision.
    """
    saved = saved_for_backward(
        PKS4Config(**settings["classifier"]),
        num_frames=settings["num_frames"],
        frame_size=settings.get("frame_size", FRAME_SIZE),
        precision=Precision.named(settings["precision"]),
    )
    return saved.per_clip


def peak_of(settings: Mapping[str, Any]) -> int:
    """Estimate the peak number of bytes in a training step.

    Args:
        settings: Settings of a :class:`~pks4_lightning.paper.tables.Row`, with batch and precision.
    """
    clips = ClipBatch(
        num_clips=settings["batch_size"],
        num_frames=settings["num_frames"],
        frame_size=settings.get("frame_size", FRAME_SIZE),
    )
    precision = Precision.named(settings["precision"])
    return peak_of_step(PKS4Config(**settings["classifier"]), clips, precision)


@functools.cache
def _counts(classifier_settings: str, num_frames: int, frame_size: int) -> Counts:
    classifier = meta_classifier(PKS4Config(**json.loads(classifier_settings)))
    flops = count_flops(classifier, num_frames=num_frames, frame_size=frame_size)
    whole = total_flops(flops)
    operations: dict[Counting, int] = {
        "without attention": whole.paper,
        "with attention": whole.all_matmuls,
    }
    if "projections" in flops:
        operations["projections"] = flops["embedding"].matmuls + flops["projections"].matmuls
    return Counts(sum(count_parameters(classifier, trainable=True).values()), operations)
