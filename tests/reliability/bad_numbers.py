"""Numerical and memory faults to plant with ``launcher.start(..., prepare=...)``.

Each fault records in the run's folder that it has happened, and for which videos.
"""

import json
import os
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.training.callbacks.finite_guard import FiniteGuard
from pks4_lightning.training.task import VideoClassificationTask

NAN = float("nan")


def plant_nan(folder, where, step, rank=0):
    """Put a NaN into input, loss or gradient of a step's last micro-batch, on one rank."""
    folder, own_rank = Path(folder), int(os.environ.get("RANK", "0"))
    plain_step = VideoClassificationTask.training_step

    def training_step(task, batch, batch_idx):
        is_last = (batch_idx + 1) % task.trainer.accumulate_grad_batches == 0
        if own_rank != rank or task.trainer.global_step != step - 1 or not is_last:
            return plain_step(task, batch, batch_idx)
        (folder / "planted.json").write_text(json.dumps(batch["video_path"]))
        if where == "input":
            batch["video"][0, 0, 0, 0, 0] = NAN
        loss = plain_step(task, batch, batch_idx)
        if where == "gradient":
            loss.register_hook(lambda gradient: gradient * NAN)
        return loss + NAN if where == "loss" else loss

    VideoClassificationTask.training_step = training_step
    _keep_weights(folder, own_rank, step)


def _keep_weights(folder, rank, step):
    """Save the parameters before the step and at the end of the run."""

    def save(task, name):
        parameters = {
            key: parameter.to_local() if isinstance(parameter, DTensor) else parameter
            for key, parameter in task.classifier.named_parameters()
        }
        torch.save(parameters, folder / f"{name}_{rank}.pt")

    def on_train_batch_end(self, trainer, task, *_batch):
        if trainer.global_step == step - 1:
            save(task, "before")

    def on_exception(self, _trainer, task, _exception):
        save(task, "after")

    FiniteGuard.on_train_batch_end = on_train_batch_end
    FiniteGuard.on_exception = on_exception


def plant_out_of_memory(folder, most, step, rank=0):
    """From a step on, make forward passes of more than ``most`` clips run out of memory."""
    if int(os.environ.get("RANK", "0")) != rank:
        return
    now = {"step": 0}
    plain_step, plain_forward = VideoClassificationTask.training_step, PKS4Classifier.forward

    def training_step(task, batch, batch_idx):
        now["step"] = task.trainer.global_step + 1
        return plain_step(task, batch, batch_idx)

    def forward(classifier, video, patch_size=None):
        if now["step"] >= step and len(video) > most and classifier.training:
            (Path(folder) / "planted.json").write_text(json.dumps(now))
            raise torch.OutOfMemoryError("planted")
        return plain_forward(classifier, video, patch_size)

    VideoClassificationTask.training_step = training_step
    PKS4Classifier.forward = forward


def plant_out_of_memory_in_validation(folder):
    """Make the first validation run out of memory."""
    plain_forward = PKS4Classifier.forward

    def forward(classifier, video, patch_size=None):
        if not classifier.training:
            (Path(folder) / "planted.json").touch()
            raise torch.OutOfMemoryError("planted")
        return plain_forward(classifier, video, patch_size)

    PKS4Classifier.forward = forward
