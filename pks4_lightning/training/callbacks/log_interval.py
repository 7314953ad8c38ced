"""Log at least once per epoch, however short it is."""

from lightning.pytorch import Callback, LightningModule, Trainer

from pks4_lightning.training.lightning_internals import lower_log_interval

__all__ = ["LogInterval"]


class LogInterval(Callback):
    """Lower ``trainer.log_every_n_steps`` to the number of steps in an epoch.

    Without it, a training on a few clips would log no loss, and Lightning warns instead.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lower it; only now is the number of batches known."""
        # the number of batches is infinite for endless data, and 0 if training is limited to none
        steps = trainer.num_training_batches // trainer.accumulate_grad_batches
        lower_log_interval(trainer, max(1, steps))
