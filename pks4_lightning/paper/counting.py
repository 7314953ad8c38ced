"""What a row's settings come to: parameters that train, and operations in every way of counting.

The tables mix ways of counting: the rows of PKS^4 leave out the attention's two products, those of
the methods around CLIP include them, those of VideoMamba leave out all but projections.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.memory import peak_of_step, saved_for_backward
from pks4_lightning.cost.parameters import count_parameters, describe
from pks4_lightning.cost.training_step import ClipBatch, Precision
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.tables import Counting

__all__ = ["FRAME_SIZE", "Counts", "counts_of", "kept_per_clip", "peak_of"]

FRAME_SIZE = 224
"""Pixels of a frame's side, where a row does not say otherwise."""


@dataclass(frozen=True)
class Counts:
    """A classifier's size and one view's cost."""

    trained: int
    """Parameters that train."""
    operations: dict[Counting, int]
    """Multiply-adds of a view; ``projections`` for VideoMamba only."""


def counts_of(settings: Mapping[str, Any]) -> Counts:
    """Count what a row describes.

    Args:
        settings: From :class:`~pks4_lightning.paper.tables.Row`.
    """
    frame_size = settings.get("frame_size", FRAME_SIZE)
    return _counts(json.dumps(settings["classifier"]), settings["num_frames"], frame_size)


def kept_per_clip(settings: Mapping[str, Any]) -> int:
    """Count the bytes that a forward pass keeps for the backward pass, for each clip of a batch.

    Args:
        settings: From :class:`~pks4_lightning.paper.tables.Row`, with a precision.
    """
    saved = saved_for_backward(
        PKS4Config(**settings["classifier"]),
        num_frames=settings["num_frames"],
        frame_size=settings.get("frame_size", FRAME_SIZE),
        precision=Precision.named(settings["precision"]),
    )
    return saved.per_clip


def peak_of(settings: Mapping[str, Any]) -> int:
    """Estimate the most bytes that are alive at one time in a training step.

    Args:
        settings: From :class:`~pks4_lightning.paper.tables.Row`, with a batch and a precision.
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
    classifier = describe(PKS4Config(**json.loads(classifier_settings)))
    flops = count_flops(classifier, num_frames=num_frames, frame_size=frame_size)
    whole = total_flops(flops)
    operations: dict[Counting, int] = {
        "without attention": whole.paper,
        "with attention": whole.all_matmuls,
    }
    if "projections" in flops:
        operations["projections"] = flops["embedding"].matmuls + flops["projections"].matmuls
    return Counts(sum(count_parameters(classifier, trainable=True).values()), operations)
