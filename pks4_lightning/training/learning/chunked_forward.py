"""Process a batch a few clips at a time, to hold the activations of only these in memory.

The gradient is that of the whole batch, up to rounding: every chunk is recomputed during the single
backward pass (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016,
https://arxiv.org/abs/1604.06174), which takes about a third more time. Only BatchNorm is affected:
it normalises with the statistics of a chunk, as it does with those of a micro-batch.

Dimensions:
    B: clips
    C: RGB channels
    T: frames
    H, W: pixels
    K: classes
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint

from pks4_lightning.training.distributed import all_reduce_max

__all__ = [
    "ChunkedForward",
    "NotEnoughMemoryError",
    "chunked_forward",
    "is_out_of_memory",
    "num_fitting",
]

logger = logging.getLogger(__name__)


class NotEnoughMemoryError(RuntimeError):
    """Not even a single clip at a time fits into memory."""


def chunked_forward(
    module: nn.Module,
    video: Float[Tensor, "B ..."],
    clips_per_pass: int,
    patch_size: int | None = None,
) -> Float[Tensor, "B K"]:
    """Apply a module to a batch, a number of clips at a time.

    Args:
        module: Maps clips to logits, each clip independently. Its running statistics are updated
            once per pass.
        video: The clips.
        clips_per_pass: Number of clips per pass; the last one may have fewer. If all fit into one
            pass, nothing is computed twice.
        patch_size: Passed to the module.

    Returns:
        The logits of all clips.
    """
    if len(video) <= clips_per_pass:
        return module(video, patch_size)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _buffers_kept(module)

    return torch.cat(
        [
            checkpoint(module, clips, patch_size, use_reentrant=False, context_fn=contexts)
            for clips in video.split(clips_per_pass)
        ]
    )


def num_fitting(
    module: nn.Module, video: Float[Tensor, "B ..."], patch_size: int | None = None
) -> int:
    """Return how many clips at a time fit into memory: all, half of them, and so on down to 0.

    Determined by rehearsals, which leave gradients, statistics and random states unchanged, and
    exchange nothing between ranks.

    Args:
        module: Maps clips to logits.
        video: The clips of a batch.
        patch_size: Passed to the module.
    """
    clips = len(video)
    while clips and not _fits(module, video[:clips], patch_size):
        clips = _half(clips)
    return clips


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the device, or the machine, ran out of memory.

    Args:
        error: Any error.
    """
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class ChunkedForward:
    """Runs a classifier on batches, in a given number of passes or in as many as memory requires.

    Args:
        clips_per_pass: Clips at a time; ``None`` processes a whole batch at once. ``auto`` does so
            until memory runs out in training, then halves the number for clips of that shape and
            repeats the step. The first batch of a shape, and every new number, is rehearsed with
            its backward pass, because memory that runs out in an actual backward pass ends the run.
            All ranks use the same number.
    """

    shape: torch.Size | None = None
    """Shape of the last batch."""
    patch_size: int | None = None
    """Patch size of the last batch."""
    at_once: int = 0
    """Clips of it that were in memory at a time."""

    def __init__(self, clips_per_pass: int | Literal["auto"] | None) -> None:
        self.clips_per_pass = clips_per_pass
        # for each clip shape and patch size: the largest number left to try, and one that fitted
        self._limit: dict[tuple[torch.Size, int | None], int] = {}
        self._fitted: dict[tuple[torch.Size, int | None], int] = {}

    def __call__(
        self,
        module: nn.Module,
        video: Float[Tensor, "B ..."],
        patch_size: int | None = None,
        relative_cost: float = 1.0,
        whole_batch: int | None = None,
    ) -> Float[Tensor, "B K"]:
        """Return the logits of a batch.

        Args:
            module: The classifier.
            video: The clips of this rank.
            patch_size: Side of a patch in pixels, if it differs from the model's own.
            relative_cost: Tokens of a clip, relative to one of the standard scale: clips that are
                twice as long are processed half as many at a time.
            whole_batch: Clips of a batch of the standard scale on this rank, if this one has fewer
                because they cost more.

        Raises:
            NotEnoughMemoryError: With ``auto``, if a single clip does not fit on any one rank.
            ValueError: With ``auto``, if the forward pass itself waits for other ranks.
        """
        self.shape, self.patch_size = video.shape, patch_size
        given = self.clips_per_pass
        if isinstance(given, str) and module.training and torch.is_grad_enabled():
            return self._adapted(module, video)
        most = given if isinstance(given, int) else whole_batch or len(video)
        self.at_once = max(1, min(int(most / relative_cost), len(video)))
        return chunked_forward(module, video, self.at_once, patch_size)

    def _adapted(self, module: nn.Module, video: Tensor) -> Tensor:
        if waits_for_ranks(module):
            raise ValueError(
                "recipe.clips_per_pass auto does not work with a sharded model or synchronised "
                "BatchNorm: a rank out of memory would leave the others waiting. Give a number."
            )
        shape = video.shape[1:]
        size = (shape, self.patch_size)
        clips = min(len(video), self._limit.get(size, len(video)))
        while True:
            self.at_once = clips
            restore = _buffer_restorer(module)
            logits = self._attempt(module, video, clips)
            # 0: it fitted; 1: it did not; 2: there is nothing smaller to try
            outcome = (1 if clips > 1 else 2) if logits is None else 0
            outcome = int(all_reduce_max(torch.tensor(outcome, device=video.device)))
            if outcome == 0:
                assert logits is not None
                self._fitted[size] = max(clips, self._fitted.get(size, 0))
                return logits
            del logits
            restore()
            if outcome == 2:
                raise NotEnoughMemoryError(
                    f"There is not enough memory for one clip of {describe_clip(shape)} at a time: "
                    "lower --data.num_frames or --data.frame_size, or set "
                    "--model.classifier.gradient_checkpointing true."
                )
            self._limit[size], self._fitted[size] = _half(clips), 0
            logger.info(
                "Not enough memory for %d clips of %s at once; continuing with %d at a time.",
                clips,
                describe_clip(shape),
                _half(clips),
            )
            clips = _half(clips)

    def _attempt(self, module: nn.Module, video: Tensor, clips: int) -> Tensor | None:
        """Return the logits, or None if memory runs out in the forward pass or the rehearsal."""
        is_new = clips > self._fitted.get((video.shape[1:], self.patch_size), 0)
        if is_new and not _fits(module, video[:clips], self.patch_size):
            return None
        try:
            return chunked_forward(module, video, clips, self.patch_size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        # outside the handler, in which the error still references all activations
        torch.cuda.empty_cache()
        return None


def waits_for_ranks(module: nn.Module) -> bool:
    """Return whether the forward pass of a module communicates with other ranks.

    Args:
        module: A classifier, possibly sharded.
    """
    return any(isinstance(part, FSDPModule | nn.SyncBatchNorm) for part in module.modules())


def describe_clip(shape: torch.Size) -> str:
    """Describe the size of a clip in words.

    Args:
        shape: C, T, H and W, or frames, tokens and their width.
    """
    if len(shape) == 3:
        return f"{shape[0]} frames × {shape[1]} tokens"
    _, num_frames, height, width = shape
    return f"{num_frames} frames × {height} × {width} pixels"


def _fits(module: nn.Module, clips: Tensor, patch_size: int | None) -> bool:
    """Rehearse a forward and backward pass, leaving room for AdamW's state of every parameter."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    devices = [clips.device] if clips.is_cuda else []
    try:
        with torch.random.fork_rng(devices), _buffers_kept(module), torch.enable_grad():
            room = [torch.empty_like(parameter) for parameter in parameters for _ in range(2)]
            total = module(clips, patch_size).float().sum()
            torch.autograd.grad(total, parameters, allow_unused=True)
            del room
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    torch.cuda.empty_cache()
    return False


def _half(clips: int) -> int:
    """Return half as many, rounded up; 0 after 1."""
    return (clips + 1) // 2 if clips > 1 else 0


def _buffer_restorer(module: nn.Module) -> Callable[[], None]:
    """Return a function that resets the module's buffers to their present values."""
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]

    def restore() -> None:
        for buffer, value in kept:
            buffer.copy_(value)

    return restore


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Undo the changes that a block makes to running statistics."""
    restore = _buffer_restorer(module)
    try:
        yield
    finally:
        restore()
