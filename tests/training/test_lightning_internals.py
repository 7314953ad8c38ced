"""Every use of Lightning's private attributes behaves as expected."""

import signal
from datetime import timedelta

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

from pks4_lightning.training import lightning_internals as internals
from pks4_lightning.training.task_callback import TaskCallback

NUM_BATCHES = 5


class Line(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return DataLoader(torch.ones(NUM_BATCHES, 1))

    def val_dataloader(self):
        return DataLoader(torch.ones(1, 1))


def train(folder, *watchers, **settings):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    given = {"max_epochs": 1, "accelerator": "cpu", "num_sanity_val_steps": 0} | quiet | settings
    checkpoints = any(isinstance(watcher, ModelCheckpoint) for watcher in watchers)
    trainer = Trainer(
        default_root_dir=folder,
        callbacks=list(watchers),
        enable_checkpointing=checkpoints,
        **given,
    )
    trainer.fit(Line())
    return trainer


class AfterBatch(Callback):
    """Calls a function after every training batch, and records the results."""

    def __init__(self, ask):
        self.ask, self.answers = ask, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.answers.append(self.ask(trainer))


def test_attributes_that_no_class_declares(tmp_path):
    watcher = AfterBatch(internals.is_fast_dev_run)
    trainer = train(tmp_path, watcher)
    assert internals.data_module(trainer) is None
    assert watcher in internals.callbacks(trainer)
    assert watcher.answers == [False] * NUM_BATCHES
    assert internals.is_fast_dev_run(Trainer(accelerator="cpu", fast_dev_run=1, logger=False))


def test_whether_a_module_has_a_trainer(tmp_path):
    line = Line()
    assert not internals.has_trainer(line)
    line.trainer = Trainer(accelerator="cpu", logger=False)
    assert internals.has_trainer(line)


def test_the_loss_scaler_is_that_of_the_precision(tmp_path):
    scaler = torch.amp.GradScaler("cpu")
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    assert internals.loss_scaler(Trainer(accelerator="cpu", plugins=[plugin])) is scaler
    assert internals.loss_scaler(Trainer(accelerator="cpu")) is None


def test_a_step_is_incomplete_until_its_last_batch_or_the_epochs(tmp_path):
    watcher = AfterBatch(internals.is_within_a_step)
    train(tmp_path, watcher, accumulate_grad_batches=2)
    assert watcher.answers == [True, False, True, False, False]


def test_a_validation_follows_every_other_batch_and_the_last(tmp_path):
    watcher = AfterBatch(internals.validation_is_next)
    train(tmp_path, watcher, val_check_interval=2)
    assert watcher.answers == [False, True, False, True, False]
    watcher = AfterBatch(internals.validation_is_next)
    train(tmp_path, watcher)
    assert watcher.answers == [False, False, False, False, True]


def test_a_checkpoint_may_have_several_triggers(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        Trainer, "save_checkpoint", lambda trainer, *_: saved.append(trainer.global_step)
    )
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=NUM_BATCHES + 1)
    internals.add_triggers(checkpoint, every=timedelta(0))
    train(tmp_path, checkpoint)
    assert set(saved) == set(range(1, NUM_BATCHES + 1))
    saved.clear()
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=NUM_BATCHES + 1)
    internals.add_triggers(checkpoint, every=None)
    train(tmp_path, checkpoint)
    assert set(saved) == {NUM_BATCHES}


@pytest.mark.parametrize("left_alone", [True, False])
def test_a_handler_of_signals_stays_if_lightnings_is_kept_away(tmp_path, left_alone):
    class KeepAway(Callback):
        def setup(self, trainer, pl_module, stage):
            if left_alone:
                internals.leave_signals_alone(trainer)

    def ours(number, frame):
        pass

    watcher = AfterBatch(lambda _: signal.getsignal(signal.SIGTERM))
    before = signal.signal(signal.SIGTERM, ours)
    try:
        train(tmp_path, KeepAway(), watcher)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (watcher.answers[0] is ours) == left_alone


def test_the_list_of_ranks_that_end_the_first_is_emptied():
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False)
    trainer.strategy._configure_launcher()
    ranks = trainer.strategy.launcher.procs
    ranks.append("a process")
    internals.forget_other_ranks(trainer)
    assert ranks == []
    assert trainer.strategy.launcher.procs is ranks  # the list that Lightning watches
    internals.forget_other_ranks(Trainer(accelerator="cpu"))  # has no launcher


def test_a_callback_of_our_task_refuses_another_module(tmp_path):
    with pytest.raises(TypeError, match="TaskCallback needs a VideoClassificationTask, got Line"):
        train(tmp_path, TaskCallback())
