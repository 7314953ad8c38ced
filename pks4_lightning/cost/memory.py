"""Compute the memory that training takes, without a GPU and without allocating it.

The training step runs on fake tensors, which have shape, dtype and storage size but no content. The
result excludes memory that libraries and kernels allocate internally, and memory that the allocator
leaves unused between tensors.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.training_step import ClipBatch, Precision, TrainingStep
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.towers.dino import coordinates_uncached

__all__ = ["SavedForBackward", "measured_peak", "peak_of_step", "saved_for_backward"]


@dataclass(frozen=True)
class SavedForBackward:
    """Bytes that the forward pass keeps for the backward pass, excluding parameters."""

    per_clip: int
    """Activations; proportional to the number of clips."""
    fixed: int
    """Independent of the batch: copies of the parameters in another dtype."""


def saved_for_backward(
    config: PKS4Config,
    *,
    num_frames: int,
    frame_size: int,
    precision: Precision,
    trains: str = "all",
) -> SavedForBackward:
    """Count the bytes that a forward pass keeps for the backward pass, each storage once.

    Args:
        config: The classifier, with or without gradient checkpointing.
        num_frames: Frames per clip.
        frame_size: Side of a frame in pixels.
        precision: Dtypes of the training.
        trains: ``recipe.trains``.
    """
    one, two = (
        _saved(
            config,
            ClipBatch(num_clips=n, num_frames=num_frames, frame_size=frame_size),
            precision,
            trains,
        )
        for n in (1, 2)
    )
    return SavedForBackward(per_clip=two - one, fixed=2 * one - two)


def peak_of_step(
    config: PKS4Config, clips: ClipBatch, precision: Precision, trains: str = "all"
) -> int:
    """Return the peak memory of a training step in bytes.

    Counts parameters, gradients, AdamW's two moments, activations and temporary tensors.

    Args:
        config: The classifier, with or without gradient checkpointing.
        clips: The clips of a step.
        precision: Dtypes of the training.
        trains: ``recipe.trains``.
    """
    with _without_content(config, clips, precision, trains) as step, _LiveTensors() as live:
        for tensor in (*step.classifier.parameters(), *step.classifier.buffers()):
            live.add(tensor)
        step.allocate_moments()
        step()
    return live.peak


def measured_peak(step: Callable[[], object]) -> int | None:
    """Return the peak number of bytes that tensors occupy on the GPU during a call.

    Args:
        step: The function to call.

    Returns:
        ``None`` if there is no GPU.
    """
    if not torch.cuda.is_available():
        return None
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


@contextmanager
def _without_content(
    config: PKS4Config, clips: ClipBatch, precision: Precision, trains: str
) -> Iterator[TrainingStep]:
    """Prepare a step on fake tensors on the CPU device, for which autocast is defined."""
    classifier = meta_classifier(config, trains).to(precision.weights)
    with FakeTensorMode(allow_non_fake_inputs=True), coordinates_uncached():
        yield TrainingStep(classifier.to_empty(device="cpu"), clips, precision)


def _saved(config: PKS4Config, clips: ClipBatch, precision: Precision, trains: str) -> int:
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage
        return tensor

    with _without_content(config, clips, precision, trains) as step:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            step.forward()
        for own in (*step.classifier.parameters(), *step.classifier.buffers()):
            saved.pop(own.untyped_storage()._cdata, None)
        return sum(storage.nbytes() for storage in saved.values())


class _LiveTensors(TorchDispatchMode):
    """Tracks every storage from the operator that creates it until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.peak = 0, 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        self._known.add(storage)
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._drop, storage.nbytes())

    def _drop(self, num_bytes: int) -> None:
        self.bytes -= num_bytes

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for value in tree_iter(output):
            if isinstance(value, Tensor):
                self.add(value)
        return output
