"""Explain an out-of-memory error: what did not fit, and what would have."""

import traceback

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pks4_lightning.training.learning.chunked_forward import (
    describe_clip,
    is_out_of_memory,
    num_fitting,
    waits_for_ranks,
)
from pks4_lightning.training.task import VideoClassificationTask

__all__ = ["MemoryAdvice"]


class MemoryAdvice(Callback):
    """Add sizes to the error that ends a run; after a training step, also try smaller ones.

    The trials run on this rank only, after the failed step has released its memory.
    """

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Add the note, if memory ran out after the first batch."""
        # the error may have occurred before `setup`
        if not isinstance(pl_module, VideoClassificationTask) or not is_out_of_memory(exception):
            return
        if pl_module.passes.shape is not None:
            exception.add_note(_advice(trainer, pl_module, exception))


def _advice(trainer: Trainer, task: VideoClassificationTask, error: BaseException) -> str:
    shape, at_once = task.passes.shape, task.passes.at_once
    assert shape is not None
    problem = (
        f"There is not enough memory for a batch of {shape[0]} clips of {describe_clip(shape[1:])}"
    )
    if at_once < shape[0]:
        problem += f", {at_once} at a time"
    smaller = "lower --data.num_frames or --data.frame_size"
    if not trainer.training:
        return f"{problem}: lower --data.batch_size, or {smaller}."
    if waits_for_ranks(task.classifier):
        return f"{problem}: set --model.recipe.clips_per_pass to less, or {smaller}."
    # the stack frames of the error hold the activations of the failed step
    traceback.clear_frames(error.__traceback__)
    torch.cuda.empty_cache()
    with trainer.precision_plugin.train_step_context():
        less = torch.zeros((at_once // 2, *shape[1:]), device=task.device)
        fitting = num_fitting(task.classifier, less, task.passes.patch_size)
    if fitting == 0:
        return (
            f"{problem}, and not even a single clip at a time fits: {smaller}, or set "
            "--model.classifier.gradient_checkpointing true."
        )
    return (
        f"{problem}; {fitting} at a time fit: set --model.recipe.clips_per_pass {fitting}, which "
        f"gives the same gradient but takes longer, or {smaller}."
    )
