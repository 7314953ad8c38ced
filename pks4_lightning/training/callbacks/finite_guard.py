"""Stop before an update with NaN or Inf, and list the videos of that update."""

import math
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from pks4_lightning.batch import VideoBatch
from pks4_lightning.files import atomic_write
from pks4_lightning.training.distributed import all_gather_objects, all_reduce_max
from pks4_lightning.training.lightning_internals import loss_scaler
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["FiniteGuard", "NotFiniteError", "gradient_norm"]


class NotFiniteError(ArithmeticError):
    """A loss or a gradient is infinite or NaN; the weights have not been updated."""


class FiniteGuard(TaskCallback):
    """Check losses and gradient before every update, and stop all ranks if one is not finite.

    The weights are then exactly those of the previous update. The videos are listed in
    ``not_finite.yaml`` in the run's folder: those of the micro-batches whose loss is not finite
    or, if only the gradient is not, all videos of the update, on all ranks.

    With fp16's loss scaling, a gradient that overflows is not an error: the scaler skips the update
    and lowers its scale. Such skips are counted (``train/skipped_updates``), and limited. A loss
    that is not finite is an error there as well, because scaling does not affect the forward pass.

    The check costs the norm of the gradient and one device synchronisation per optimiser step and,
    with several ranks, an exchange of two numbers.

    Args:
        max_consecutive_skips: Updates in a row that loss scaling may skip. A new scaler skips a few
            until its scale has come down from 2^16.
    """

    def __init__(self, max_consecutive_skips: int = 20) -> None:
        super().__init__()
        self.max_consecutive_skips = max_consecutive_skips
        self._skips = self._skips_in_a_row = 0
        # of the micro-batches since the last update
        self._videos: list[list[str]] = []
        self._losses: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        """Record the videos of the next loss."""
        # repeats of a video are adjacent; padding clips have no path
        self._videos.append(list(dict.fromkeys(filter(None, batch["video_path"]))))

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Record the loss, without synchronising."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Check all losses and gradients of this update.

        Raises:
            NotFiniteError: On every rank, if one is not finite, or too many updates were skipped.
        """
        losses = torch.stack(self._losses)
        numbers = torch.stack([losses.abs().sum(), gradient_norm(optimizer).to(losses.dtype)])
        bad_loss, bad_gradient = all_reduce_max((~numbers.isfinite()).int()).tolist()
        scaler = loss_scaler(trainer)
        if bad_loss or (bad_gradient and scaler is None):
            raise self._report(trainer, "loss" if bad_loss else "gradient")
        self._videos.clear()
        self._losses.clear()
        self.task.update_skipped = bool(bad_gradient)
        if scaler is not None:
            self._count(scaler.get_scale())

    def _count(self, scale: float) -> None:
        """Count the updates that loss scaling skips, and stop a run that does nothing else."""
        skipped = self.task.update_skipped
        self._skips += skipped
        self._skips_in_a_row = self._skips_in_a_row + 1 if skipped else 0
        self.task.log("train/skipped_updates", float(self._skips))
        if self._skips_in_a_row > self.max_consecutive_skips:
            raise NotFiniteError(
                f"The gradients of {self._skips_in_a_row} updates in a row overflowed 16 bits, "
                f"even though the loss scale has fallen to {scale:g}: train with "
                "--trainer.precision bf16-mixed or 32-true."
            )

    def _report(self, trainer: Trainer, what: str) -> NotFiniteError:
        """Write the videos of all ranks to a file; return the error that names it."""
        losses = torch.stack(self._losses).tolist()
        batches: list[dict[str, Any]] = [
            {"rank": trainer.global_rank, "videos": videos}
            for loss, videos in zip(losses, self._videos, strict=True)
            if what == "gradient" or not math.isfinite(loss)
        ]
        batches = all_gather_objects(batches)
        step = trainer.global_step + 1
        found = {"step": step, "epoch": trainer.current_epoch, "not_finite": what}
        path = Path(trainer.default_root_dir) / "not_finite.yaml"
        if trainer.is_global_zero:
            with atomic_write(path) as temporary:
                text = yaml.safe_dump({**found, "batches": batches}, sort_keys=False)
                temporary.write_text(text, encoding="utf-8")
        num_videos = sum(len(batch["videos"]) for batch in batches)
        ranks = ", ".join(str(rank) for rank in sorted({batch["rank"] for batch in batches}))
        return NotFiniteError(
            f"The {what} of optimiser step {step} is not finite (rank {ranks}): the weights are "
            f"left as they were after step {step - 1}. The {num_videos} videos of this step are "
            f"listed in {path}; if they look right, train with a lower --model.recipe.base_lr or "
            "with --trainer.precision 32-true."
        )


@torch.no_grad()
def gradient_norm(optimizer: Optimizer) -> Tensor:
    """Return the Euclidean norm of the gradient of all parameters of an optimiser.

    Args:
        optimizer: Parameters without a gradient are ignored. Of a sharded parameter, only this
            rank's part counts.

    Returns:
        A scalar on the parameters' device, computed without synchronisation.
    """
    gradients = [
        parameter.grad.to_local() if isinstance(parameter.grad, DTensor) else parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    return torch.nn.utils.get_total_norm(gradients)
