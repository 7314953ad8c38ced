"""A plain Trainer, stopped in any hook of any batch, resumes with exactly the remaining work."""

from itertools import count

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from pks4_lightning.training.resuming.loop_position import Position, position, take_up

NUM_BATCHES = 6
HOOKS = ["on_train_batch_end", "on_validation_batch_end", "on_validation_end", "on_train_epoch_end"]


class StopHereError(Exception):
    pass


class Line(LightningModule):
    """A module with one layer and a resumable loader that records its events."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.begin = 0
        self.events = []
        self.num_validated = 0

    def training_step(self, batch, batch_idx):
        loops = self.trainer.fit_loop.epoch_loop
        place = (self.current_epoch, batch_idx, batch.item())
        self.events.append(("train", *place, self.global_step, loops._batches_that_stepped))
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        self.num_validated += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return Resumable(self)

    def val_dataloader(self):
        return DataLoader(torch.arange(2.0).view(2, 1))


class Resumable(DataLoader):
    def __init__(self, module):
        super().__init__(torch.arange(float(NUM_BATCHES)).view(-1, 1))
        self.module = module

    def __iter__(self):
        begin, self.module.begin = self.module.begin, 0
        return iter(list(super().__iter__())[begin:])

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Watch(Callback):
    """Records validations and ends of epochs; saves and stops at one call of one hook."""

    def __init__(self, path, hook=None, call=None):
        self.path, self.hook, self.call = path, hook, call
        self.calls = count()
        self.validated_at = None

    def _at(self, hook, trainer):
        if hook == self.hook and next(self.calls) == self.call:
            trainer.save_checkpoint(self.path)
            raise StopHereError

    def on_train_batch_end(self, trainer, module, *args):
        self._at("on_train_batch_end", trainer)

    def on_validation_batch_end(self, trainer, module, *args):
        if not trainer.sanity_checking:
            self._at("on_validation_batch_end", trainer)

    def on_validation_end(self, trainer, module):
        module.events.append(("validated", trainer.global_step, module.num_validated))
        module.num_validated = 0
        self.validated_at = trainer.fit_loop.total_batch_idx
        self._at("on_validation_end", trainer)

    def on_train_epoch_end(self, trainer, module):
        module.events.append(("epoch ends", trainer.current_epoch))
        self._at("on_train_epoch_end", trainer)

    def on_train_end(self, trainer, module):
        self._at("on_train_end", trainer)

    def on_save_checkpoint(self, trainer, module, checkpoint):
        checkpoint["place"] = vars(position(trainer, validated_at=self.validated_at))

    def on_load_checkpoint(self, trainer, module, checkpoint):
        here = Position(**checkpoint["place"])
        take_up(checkpoint["loops"]["fit_loop"], here)
        module.begin = here.batches
        if here.validation == "done":
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            self.validated_at = progress["total"]["ready"] - 1

    def on_train_start(self, trainer, module):
        if trainer.ckpt_path and trainer.fit_loop.epoch_loop.batch_progress.current.ready == 0:
            trainer.fit_loop.epoch_loop.restarting = False


def train(folder, settings, *, stop=(None, None), resume=None):
    """Return the events of a training, and whether it was stopped."""
    module = Line()
    trainer = Trainer(
        **{"max_epochs": 3, **settings},
        callbacks=[Watch(folder / "saved.ckpt", *stop)],
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    try:
        trainer.fit(module, ckpt_path=resume)
    except StopHereError:
        return module.events, True
    return module.events, False


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"accumulate_grad_batches": 4},
        {"val_check_interval": 0.5},
        {"val_check_interval": 4, "check_val_every_n_epoch": None},
        {"check_val_every_n_epoch": 2},
        {"max_steps": 15, "max_epochs": None},
        {"max_steps": 15, "max_epochs": None, "val_check_interval": 0.5},
        {"limit_val_batches": 0},
        {"limit_train_batches": 4},
    ],
    ids=lambda settings: ",".join(f"{k}={v}" for k, v in settings.items()) or "default",
)
def test_stopped_in_any_hook_it_resumes_with_the_remaining_work(tmp_path, settings, hook):
    whole, _ = train(tmp_path, settings)
    for call in count():
        first, stopped = train(tmp_path, settings, stop=(hook, call))
        saved = stopped and torch.load(tmp_path / "saved.ckpt", weights_only=True)
        # after its last step, a trainer does nothing, not even an interrupted validation
        if not stopped or saved["global_step"] == settings.get("max_steps"):
            break
        second, _ = train(tmp_path, settings, resume=tmp_path / "saved.ckpt")
        together = first + second
        if hook == "on_train_batch_end":
            # without validation, an epoch ends with its last batch
            assert only(together, "epoch ends") <= only(whole, "epoch ends")
            together, expected = (without(x, "epoch ends") for x in (together, whole))
            assert together == expected, f"{hook} {call}"
        else:
            assert together == whole, f"{hook} {call}"
    assert call or settings.get("limit_val_batches") == 0


@pytest.mark.parametrize("max_steps", [1, 3, 4])
def test_a_run_that_a_limit_on_steps_ended_can_be_extended(tmp_path, max_steps):
    # 3 steps of 2 batches are an epoch
    settings = {"max_epochs": None, "accumulate_grad_batches": 2, "max_steps": 6}
    whole, _ = train(tmp_path, settings)
    end = ("on_train_end", 0)
    first, _ = train(tmp_path, settings | {"max_steps": max_steps}, stop=end)
    second, _ = train(tmp_path, settings, resume=tmp_path / "saved.ckpt")
    together, expected = (without(events, "epoch ends") for events in (first + second, whole))
    assert together == expected


def only(events, kind):
    return {event for event in events if event[0] == kind}


def without(events, kind):
    return [event for event in events if event[0] != kind]
