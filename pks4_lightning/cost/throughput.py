"""Measure the speed of a classifier on this device, and its memory on a GPU."""

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pks4_lightning.cost.memory import measured_peak
from pks4_lightning.cost.training_step import ClipBatch, Precision, TrainingStep
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights

__all__ = ["Throughput", "default_device", "measure"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Throughput:
    """Measured speed and memory of one classifier on one device."""

    forward: float
    """Clips per second without gradients."""
    training: float
    """Clips per second of training steps: forward, backward and optimizer."""
    peak_bytes: int | None
    """Peak memory of a training step in bytes, measured on a GPU; ``None`` elsewhere."""


def default_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(
    config: PKS4Config,
    clips: ClipBatch,
    precision: Precision,
    *,
    trains: str = "all",
    num_rounds: int = 5,
) -> Throughput:
    """Time forward passes and training steps: one warm-up round, then the median of several.

    Args:
        config: The classifier; its weights are random.
        clips: The clips of a step.
        precision: Dtypes of the training.
        trains: ``recipe.trains``.
        num_rounds: Timed rounds.
    """
    device = default_device()
    with device:
        classifier = build_classifier(without_weights(config)).to(precision.weights)
    classifier.freeze(trains)
    step = TrainingStep(classifier, clips, precision)

    def forward() -> None:
        with torch.inference_mode():
            step.forward()

    logger.info("Timing the forward pass of %d clips on %s.", clips.num_clips, device)
    forward_seconds = _median_seconds(forward, num_rounds)
    logger.info("A forward pass takes %.2f s. Timing training steps.", forward_seconds)
    training_seconds = _median_seconds(step, num_rounds)
    return Throughput(
        forward=clips.num_clips / forward_seconds,
        training=clips.num_clips / training_seconds,
        peak_bytes=measured_peak(step),
    )


def _median_seconds(work: Callable[[], object], num_rounds: int) -> float:
    work()
    seconds = []
    for _ in range(num_rounds):
        _wait()
        start = time.perf_counter()
        work()
        _wait()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
