"""Print the resolved settings before the first step, and save them beside the checkpoints."""

import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from rich.table import Table

from pks4_lightning.files import atomic_write
from pks4_lightning.models.saved_reading import note_earlier_residual
from pks4_lightning.ops.backend import scan_backend
from pks4_lightning.ops.half_precision import advise_precision
from pks4_lightning.tables import print_tables
from pks4_lightning.training.task import VideoClassificationTask
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["RunSummary"]

logger = logging.getLogger(__name__)

_HALF = {"bf16": torch.bfloat16, "16": torch.float16}


class RunSummary(TaskCallback):
    """Print the resolved settings of a training as a table and save them beside the checkpoints.

    ``resolved.yaml`` contains what depends on the machine and the data, so that no configuration
    file can give it: optimiser steps, batch size, accumulation, the learning rate of every group.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print and save the table; mention what a user may not expect."""
        if not trainer.is_global_zero:
            return
        resolved = resolve_run(trainer, self.task)
        print_tables(_as_table(resolved))
        note_earlier_residual(asdict(self.task.config))
        if resolved["warmup_steps"] >= resolved["total_steps"]:
            logger.warning(
                "The learning rate will not reach its peak: the warm-up takes %d steps and the "
                "training %d; lower --model.recipe.warmup_epochs.",
                *(resolved["warmup_steps"], resolved["total_steps"]),
            )
        half = _HALF.get(resolved["precision"].partition("-")[0])
        advice = advise_precision(trainer.strategy.root_device, half) if half else None
        if advice is not None:
            logger.warning("%s", advice)
        checkpoints = getattr(trainer.checkpoint_callback, "dirpath", None)
        if checkpoints:
            with atomic_write(Path(checkpoints) / "resolved.yaml") as path:
                path.write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")


def resolve_run(trainer: Trainer, task: VideoClassificationTask) -> dict[str, Any]:
    """Return the resolved settings of a training, as plain values in reading order."""
    parameters = list(task.classifier.parameters())
    schedule = task.schedule
    (optimizer,) = trainer.optimizers
    drawn = {name: float(f"{mean:.4g}") for name, mean in task.source.mean_draws().items()}
    return {
        "parameters": sum(math.prod(p.shape) for p in parameters),
        "parameters_by_part": {
            name: sum(math.prod(p.shape) for p in part.parameters())
            for name, part in task.classifier.named_children()
        },
        "trainable_parameters": sum(math.prod(p.shape) for p in parameters if p.requires_grad),
        "classes": task.config.num_classes,
        "device": str(trainer.strategy.root_device),
        "strategy": type(trainer.strategy).__name__,
        "ranks": trainer.world_size,
        "precision": str(trainer.precision),
        "scan_backend": scan_backend(trainer.strategy.root_device),
        "torch": str(torch.__version__),
        "videos_per_rank_and_batch": schedule.videos_per_step
        // schedule.accumulation
        // trainer.world_size,
        "accumulation": schedule.accumulation,
        "videos_per_step": schedule.videos_per_step,
        **({"drawn_on_average": drawn} if drawn else {}),
        "steps_per_epoch": schedule.steps_per_epoch,
        "total_steps": schedule.total_steps,
        "warmup_steps": schedule.warmup_steps,
        "peak_lr": {
            group["name"]: float(f"{group['initial_lr']:.6g}") for group in optimizer.param_groups
        },
    }


def _as_table(resolved: dict[str, Any]) -> Table:
    table = Table("setting", "value", title="Resolved settings of this run", title_justify="left")
    for name, value in resolved.items():
        parts = value if isinstance(value, dict) else {"": value}
        for part, number in parts.items():
            if part.removesuffix("_no_decay") in parts and part.endswith("_no_decay"):
                continue  # the same learning rate again
            table.add_row(f"{name.replace('_', ' ')} {part}".strip(), _shown(number))
    return table


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
