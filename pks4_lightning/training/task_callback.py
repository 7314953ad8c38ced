"""Base class of our callbacks, with access to the task and its data."""

from lightning.pytorch import Callback, LightningModule, Trainer

from pks4_lightning.training.task import VideoClassificationTask

__all__ = ["TaskCallback"]


class TaskCallback(Callback):
    """A callback of runs of a :class:`VideoClassificationTask`."""

    task: VideoClassificationTask
    """The task of the run; known from :meth:`setup` on."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Store a reference to the task.

        Args:
            trainer: The trainer.
            pl_module: The task.
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            TypeError: If the module is not such a task.
        """
        if not isinstance(pl_module, VideoClassificationTask):
            raise TypeError(
                f"{type(self).__name__} needs a VideoClassificationTask, "
                f"got {type(pl_module).__name__}."
            )
        self.task = pl_module
