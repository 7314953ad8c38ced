"""Resolve a recipe into accumulation, number of steps and peak learning rate."""

from dataclasses import dataclass

from lightning.pytorch import Trainer

from pks4_lightning.batch import ClipSource
from pks4_lightning.training.learning.recipe import Recipe

__all__ = ["Schedule", "resolve_schedule"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The resolved numbers of one training run.

    Args:
        accumulation: Micro-batches per optimiser step.
        videos_per_step: Videos per optimiser step over all ranks, repeats not counted.
        steps_per_epoch: Optimiser steps per epoch.
        total_steps: Optimiser steps of the whole run.
        warmup_steps: Optimiser steps of the warm-up.
        peak_lr: Learning rate of new modules and the head after the warm-up.
    """

    accumulation: int
    videos_per_step: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    peak_lr: float


def resolve_schedule(recipe: Recipe, source: ClipSource, trainer: Trainer) -> Schedule:
    """Resolve a recipe for a data module and a trainer, without building a loader.

    ``trainer.estimated_stepping_batches`` is not used, because it builds the training loader before
    a checkpoint's position in the data is restored.

    Args:
        recipe: The training recipe.
        source: The data module, set up for ``fit``.
        trainer: Provides ranks, limits, and an accumulation that the user set explicitly (any value
            but 1), which is kept.

    Raises:
        ValueError: If the length of the run is undefined, or there is no batch.
    """
    micro_batch = source.batch_size * trainer.world_size
    accumulation = trainer.accumulate_grad_batches
    if accumulation == 1 and recipe.reference_batch is not None:
        accumulation = max(1, round(recipe.reference_batch / micro_batch))
    num_batches = _limited(source.num_train_batches(), trainer.limit_train_batches)
    if num_batches < 1:
        raise ValueError(
            f"There is not a single training batch: batch size {source.batch_size} on "
            f"{trainer.world_size} rank(s), limit_train_batches={trainer.limit_train_batches}."
        )
    # A step ends with its epoch, so it never has more micro-batches than that.
    accumulation = min(accumulation, num_batches)
    # Includes the last, incomplete accumulation of an epoch.
    steps_per_epoch = -(-num_batches // accumulation)
    return Schedule(
        accumulation=accumulation,
        videos_per_step=micro_batch * accumulation,
        steps_per_epoch=steps_per_epoch,
        total_steps=_total_steps(trainer, steps_per_epoch),
        warmup_steps=round(recipe.warmup_epochs * steps_per_epoch),
        peak_lr=recipe.base_lr * micro_batch * accumulation / 256,
    )


def _limited(num_batches: int, limit: float | int) -> int:
    """Apply ``limit_train_batches``: an integer is a number of batches, a float a share."""
    return min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)


def _total_steps(trainer: Trainer, steps_per_epoch: int) -> int:
    """Return the last step of the run, given by epochs or by steps, whichever comes first."""
    ends = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        ends.append(trainer.max_epochs * steps_per_epoch)
    if trainer.max_steps >= 0:
        ends.append(trainer.max_steps)
    if not ends:
        raise ValueError(
            "The learning rate schedule needs the length of the training: set --trainer.max_epochs "
            "or --trainer.max_steps."
        )
    return min(ends)
