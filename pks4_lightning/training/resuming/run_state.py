"""Resuming: a run that was killed goes on as if nothing had happened, or says why it cannot.

Lightning's checkpoints hold model, optimiser, schedule, scaler and averaged weights. This adds what
else the next step depends on: the random generators of every rank, the place in the training data,
and the numbers that must not have changed for that place to mean the same.
"""

from dataclasses import asdict
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from pks4_lightning.batch import ClipSource
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.learning.recipe import Recipe
from pks4_lightning.training.lightning_internals import begins_its_epoch
from pks4_lightning.training.resuming.loop_position import Position, position, take_up
from pks4_lightning.training.resuming.random_state import random_state, restore_random_state
from pks4_lightning.training.task import VideoClassificationTask
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["RunState", "terms"]


class RunState(TaskCallback):
    """Add to a checkpoint what an exact continuation needs, and continue from there.

    Args:
        allow_changes: Go on with another recipe, schedule or list of training videos than the
            checkpoint's, from the same step. Otherwise such changes are refused.
    """

    def __init__(self, *, allow_changes: bool = False) -> None:
        self.allow_changes = allow_changes
        self._changes: list[str] = []
        self._validated_at: int | None = None
        self._loaded: dict[str, Any] | None = None
        """The checkpoint's random state of this rank, until training takes it up."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember that the validation after this batch is done."""
        if not trainer.sanity_checking:
            self._validated_at = trainer.fit_loop.total_batch_idx

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state of the run under ``run``, that of every rank under ``ranks`` in it."""
        source = self.task.source
        here = position(trainer, validated_at=self._validated_at)
        rank = {
            "random": self._loaded or random_state(trainer.strategy.root_device),
            "failed_videos": source.failed_train_videos(),
        }
        checkpoint["run"] = {
            "terms": terms(self.task),
            "epoch": here.epoch,
            "num_videos": here.batches * source.batch_size * trainer.world_size,
            "validation": here.validation,
            "ranks": all_gather_objects([rank]),
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Compare the checkpoint's run with this one, and set data and loops to its place.

        Raises:
            ValueError: If they differ where that would change what is trained, or if the place
                cannot be shared by this run's ranks and batches.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        source = self.task.source
        run = checkpoint.get("run")
        if run is None:
            raise ValueError(
                "The checkpoint does not say where its run stood, so it can be tested but not "
                "resumed; it was written by an earlier version, or without RunState."
            )
        # what a recipe could not say yet when the checkpoint was written was done by default
        default = _recipe_terms(Recipe())
        known = run["terms"] | {name: default[name] for name in default if name not in run["terms"]}
        self._changes = changes(known, terms(self.task))
        if self._changes and not self.allow_changes:
            raise ValueError(
                f"The checkpoint is of another run than this one: {'; '.join(self._changes)}. "
                "Leave these settings as they were, or add --allow_changes true to go on from its "
                "step with the new ones."
            )
        here = place(run, source, trainer.world_size)
        ranks = run["ranks"]
        mine = ranks[trainer.global_rank % len(ranks)]
        self._loaded = mine["random"]
        source.resume_training(
            epoch=here.epoch, num_videos=run["num_videos"], failed=mine["failed_videos"]
        )
        take_up(checkpoint["loops"]["fit_loop"], here)
        if here.validation == "done":
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            self._validated_at = progress["total"]["ready"] - 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the random generators, after all that draws from them at a start."""
        if self._loaded is None:
            return
        if self._changes:
            use_new_rates(trainer, self.task)
        begins_its_epoch(trainer)
        restore_random_state(self._loaded, trainer.strategy.root_device)
        self._loaded = None


def terms(task: VideoClassificationTask) -> dict[str, Any]:
    """Return what two runs must have in common for one to go on where the other stood.

    How many ranks and micro-batches share an optimiser step is no part of it.

    Args:
        task: Set up for training.
    """
    schedule = asdict(task.schedule)
    del schedule["accumulation"]
    return schedule | _recipe_terms(task.recipe) | task.source.training_list()


def _recipe_terms(recipe: Recipe) -> dict[str, Any]:
    return {f"model.recipe.{name}": value for name, value in asdict(recipe).items()}


def changes(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List the terms that differ, such as ``total_steps 40 -> 80``."""
    names = list(saved) + [name for name in now if name not in saved]
    return [
        f"{name} {saved.get(name)} -> {now.get(name)}"
        for name in names
        if saved.get(name) != now.get(name)
    ]


def place(run: dict[str, Any], source: ClipSource, world_size: int) -> Position:
    """Return where a run's checkpoint stands, in batches of this run.

    Args:
        run: What :class:`RunState` has put into the checkpoint.
        source: This run's data.
        world_size: This run's ranks.

    Raises:
        ValueError: If its videos do not make whole batches.
    """
    batches, rest = divmod(run["num_videos"], source.batch_size * world_size)
    if rest:
        raise ValueError(
            f"The checkpoint has used {run['num_videos']} videos of its epoch, which "
            f"{world_size} rank(s) with batches of {source.batch_size} cannot have done; resume "
            "with the ranks and the batch size of its run."
        )
    return Position(epoch=run["epoch"], batches=batches, validation=run["validation"])


def use_new_rates(trainer: Trainer, task: VideoClassificationTask) -> None:
    """Let the optimiser go on with this run's rates and decays instead of the checkpoint's."""
    (optimizer,), (config,) = trainer.optimizers, trainer.lr_scheduler_configs
    scheduler: Any = config.scheduler
    fresh = task.configure_optimizers()["optimizer"]
    scheduler.base_lrs = [group["initial_lr"] for group in fresh.param_groups]
    for group, new, factor in zip(
        optimizer.param_groups, fresh.param_groups, scheduler.lr_lambdas, strict=True
    ):
        group |= {key: value for key, value in new.items() if key != "params"}
        group["lr"] = group["initial_lr"] * factor(scheduler.last_epoch)
