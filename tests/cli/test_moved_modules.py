import importlib

import torch
import yaml

from pks4_lightning.cli import moved_modules
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.cli.moved_modules import with_todays_modules
from pks4_lightning.cli.settings import resolve
from tests.conftest import TINY

SAMPLER = "pks4_lightning.data.clip_sampling.CentredSegmentClipSampler"
WATCHDOG = "pks4_lightning.training.watchdog.Watchdog"


def test_old_names_lead_to_classes_of_today():
    for new in moved_modules._MOVED.values():
        importlib.import_module(f"pks4_lightning.{new}")


def test_only_classes_of_modules_that_have_moved_are_renamed():
    kept = "pks4_lightning.training.task.X my_pks4_lightning.training.watchdogs.X"
    assert with_todays_modules(kept) == kept


def test_a_configuration_and_a_command_line_may_use_old_names(tmp_path, caplog):
    config = tmp_path / "old.yaml"
    sampler = {"class_path": SAMPLER, "init_args": {"num_frames": 4}}
    config.write_text(yaml.safe_dump({"data": {"val_sampler": sampler}}))
    moved_modules._todays_module.cache_clear()
    args = ["--config", str(TINY), "--config", str(config), f"--trainer.callbacks+={WATCHDOG}"]
    for _ in range(2):
        settings = resolve(args)
    (callback,) = settings["trainer"]["callbacks"]
    assert callback["class_path"] == "pks4_lightning.training.callbacks.watchdog.Watchdog"
    path = settings["data"]["val_sampler"]["class_path"]
    assert path == "pks4_lightning.data.clips.sampling.CentredSegmentClipSampler"
    said = [line for line in caplog.messages if "is now pks4_lightning.data.clips.sampling" in line]
    assert len(said) == 1


def test_a_checkpoint_may_hold_old_names(trained, tmp_path):
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    sampler = {"class_path": SAMPLER, "init_args": {"num_frames": 4, "num_clips": 2}}
    checkpoint["config"]["data"]["test_sampler"] = sampler
    torch.save(checkpoint, tmp_path / "old.ckpt")
    folder = f"--trainer.default_root_dir={tmp_path}"
    cli = run_cli(["test", f"--ckpt_path={tmp_path / 'old.ckpt'}", folder], start=False)
    cli.datamodule.setup("test")
    assert cli.datamodule.test_dataloader().dataset.clip_sampler.num_clips == 2
