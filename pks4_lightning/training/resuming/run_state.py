"""Resume an interrupted run bit for bit, or explain why that is not possible.

Lightning's checkpoints contain model, optimiser, schedule, scaler and averaged weights. This adds
the other state that the next step depends on: the random generators of every rank, the position in
the training data, and the settings that must be unchanged for that position to be valid.
"""

from dataclasses import asdict
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from pks4_lightning.batch import ClipSource
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.saved_reading import with_first_reading
from pks4_lightning.models.settings_in_use import flat, settings_in_use
from pks4_lightning.training.distributed import all_gather_objects
from pks4_lightning.training.learning.recipe import Recipe
from pks4_lightning.training.lightning_internals import begins_its_epoch
from pks4_lightning.training.resuming.loop_position import Position, position, take_up
from pks4_lightning.training.resuming.optimizer_state import regrouped
from pks4_lightning.training.resuming.random_state import random_state, restore_random_state
from pks4_lightning.training.task import VideoClassificationTask
from pks4_lightning.training.task_callback import TaskCallback

__all__ = ["RunState", "terms"]


class RunState(TaskCallback):
    """Add to a checkpoint what an exact resume needs, and resume from it.

    Args:
        allow_changes: Resume even if recipe, schedule, classifier, clips or list of training videos
            differ from the checkpoint's. Otherwise such changes are refused.
    """

    def __init__(self, *, allow_changes: bool = False) -> None:
        self.allow_changes = allow_changes
        self._changes: list[str] = []
        self._validated_at: int | None = None
        self._loaded: dict[str, Any] | None = None
        """Random state of this rank from the checkpoint, until training restores it."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record that the validation after this batch is done."""
        if not trainer.sanity_checking:
            self._validated_at = trainer.fit_loop.total_batch_idx

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the state of the run under ``run``, with that of every rank under ``ranks``."""
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
        """Compare the checkpoint's run with this one, and restore the position in data and loops.

        Raises:
            ValueError: If they differ in something that affects training, or the position cannot
                be divided among this run's ranks and batches.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        source = self.task.source
        run = checkpoint.get("run")
        if run is None:
            raise ValueError(
                "The checkpoint does not record the state of its run, so it can be tested but not "
                "resumed; it was written by an earlier version, or without RunState."
            )
        now = terms(self.task)
        self._changes = changes(_known_terms(checkpoint, now), now)
        if self._changes and not self.allow_changes:
            raise ValueError(
                f"The checkpoint belongs to a different run: {'; '.join(self._changes)}. "
                "Restore these settings, or add --allow_changes true to continue from its "
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
        if self._changes:
            _regroup(checkpoint, self.task)
        if here.validation == "done":
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            self._validated_at = progress["total"]["ready"] - 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the random generators, after everything that draws from them at the start."""
        if self._loaded is None:
            return
        if self._changes:
            use_new_rates(trainer, self.task)
        begins_its_epoch(trainer)
        restore_random_state(self._loaded, trainer.strategy.root_device)
        self._loaded = None


def terms(task: VideoClassificationTask) -> dict[str, Any]:
    """Return the settings that two runs must share for one to resume the other.

    The division of an optimiser step into ranks and micro-batches does not matter.

    Args:
        task: The task, set up for training.
    """
    schedule = asdict(task.schedule)
    del schedule["accumulation"]
    return {
        **schedule,
        **_recipe_terms(task.recipe),
        **_classifier_terms(task.architecture),
        **dict(flat(task.source.training_list())),
    }


def _known_terms(checkpoint: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the terms of a checkpoint, with those that an earlier version did not record.

    Settings of the recipe had their defaults, and the classifier is described elsewhere in the
    checkpoint. What is not described there, and how clips are made, is trusted to be unchanged.
    """
    # data.balanced is recorded only where it is true
    trusted = {
        name: value
        for name, value in now.items()
        if name.startswith(("data.", "model.classifier.")) and name != "data.balanced"
    }
    classifier = PKS4Config(**with_first_reading(checkpoint["hyper_parameters"]["classifier"]))
    described = {k: v for k, v in _classifier_terms(classifier).items() if k in now}
    recorded: dict[str, Any] = checkpoint["run"]["terms"]
    return trusted | described | _recipe_terms(Recipe()) | recorded


def _recipe_terms(recipe: Recipe) -> dict[str, Any]:
    return {f"model.recipe.{name}": value for name, value in asdict(recipe).items()}


def _classifier_terms(classifier: PKS4Config) -> dict[str, Any]:
    used = settings_in_use(asdict(classifier))
    return {f"model.classifier.{name}": value for name, value in used.items()}


def changes(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List the settings that differ, such as ``total_steps 40 -> 80``."""
    names = list(saved) + [name for name in now if name not in saved]
    return [
        f"{name} {saved.get(name)} -> {now.get(name)}"
        for name in names
        if saved.get(name) != now.get(name)
    ]


def place(run: dict[str, Any], source: ClipSource, world_size: int) -> Position:
    """Return the position of a checkpoint, in batches of this run.

    Args:
        run: The state that :class:`RunState` stored in the checkpoint.
        source: The data of this run.
        world_size: The number of ranks of this run.

    Raises:
        ValueError: If its videos do not make whole batches.
    """
    batches, rest = divmod(run["num_videos"], source.batch_size * world_size)
    if rest:
        raise ValueError(
            f"The checkpoint has used {run['num_videos']} videos of its epoch, which "
            f"is impossible with {world_size} rank(s) and batches of {source.batch_size}; resume "
            "with the number of ranks and the batch size of its run."
        )
    return Position(epoch=run["epoch"], batches=batches, validation=run["validation"])


def _regroup(checkpoint: dict[str, Any], task: VideoClassificationTask) -> None:
    """Adapt the saved optimiser to the groups of this run, whose rates are set when it starts."""
    groups = task.configure_optimizers()["optimizer"].param_groups
    checkpoint["optimizer_states"] = [
        regrouped(saved, groups) for saved in checkpoint["optimizer_states"]
    ]
    for schedule in checkpoint["lr_schedulers"]:
        schedule["lr_lambdas"] = []  # one for each former group; they hold no state


def use_new_rates(trainer: Trainer, task: VideoClassificationTask) -> None:
    """Replace the optimiser's learning rates and weight decays by those of this run."""
    (optimizer,), (config,) = trainer.optimizers, trainer.lr_scheduler_configs
    scheduler: Any = config.scheduler
    fresh = task.configure_optimizers()["optimizer"]
    scheduler.base_lrs = [group["initial_lr"] for group in fresh.param_groups]
    for group, new, factor in zip(
        optimizer.param_groups, fresh.param_groups, scheduler.lr_lambdas, strict=True
    ):
        group |= {key: value for key, value in new.items() if key != "params"}
        group["lr"] = group["initial_lr"] * factor(scheduler.last_epoch)
