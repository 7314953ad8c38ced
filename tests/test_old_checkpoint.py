"""A checkpoint of the first version tests, predicts and resumes with the same numbers."""

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.cli.settings import saved_settings
from pks4_lightning.models.saved_reading import _note_once
from pks4_lightning.training.checkpoints.reading import read_checkpoint
from pks4_lightning.training.task import VideoClassificationTask

SETTINGS = Path(__file__).with_name("old_checkpoint.yaml")


def old_checkpoint():
    """Build the checkpoint that old_checkpoint.yaml describes."""
    saved = yaml.safe_load(SETTINGS.read_text())
    generator = torch.Generator().manual_seed(0)
    optimizer = saved.pop("optimizer")
    groups = optimizer["groups"]
    parameters = [name for group in groups for name in group["params"]]
    shapes = saved["state_dict"]
    saved["state_dict"] = {name: drawn(name, shapes[name], generator) for name in shapes}
    moments = [torch.randn(shapes[name], generator=generator) / 1000 for name in parameters]
    saved["optimizer_states"] = [
        {
            "state": {
                number: {"step": torch.tensor(3.0), "exp_avg": mean, "exp_avg_sq": mean.square()}
                for number, mean in enumerate(moments)
            },
            "param_groups": [
                optimizer["all_groups"]
                | group
                | {"params": [parameters.index(name) for name in group["params"]]}
                for group in groups
            ],
        }
    ]
    saved["callbacks"] = with_scalars(saved["callbacks"])
    kind, keys, *rest = np.random.RandomState(0).get_state()
    saved["run"]["ranks"] = [
        {
            "random": {
                "python": random.Random(0).getstate(),
                "numpy": [kind, keys.tolist(), *rest],
                "torch": torch.Generator().manual_seed(0).get_state(),
            },
            "failed_videos": [],
        }
    ]
    for recipe, name in (
        (saved["hyper_parameters"]["recipe"], "betas"),
        (saved["run"]["terms"], "model.recipe.betas"),
    ):
        recipe[name] = tuple(recipe[name])  # YAML has no tuples
    return saved


def with_scalars(value):
    if not isinstance(value, dict):
        return value
    if set(value) == {"scalar"}:
        return torch.tensor(value["scalar"])
    return {key: with_scalars(part) for key, part in value.items()}


def drawn(name, shape, generator):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(6)
    noise = torch.randn(shape, generator=generator)
    if name.endswith("A_log"):
        return torch.arange(1.0, shape[-1] + 1).log() + 0.1 * noise
    if len(shape) > 1:
        return noise / noise[0].numel() ** 0.5
    return name.endswith((".weight", ".D", "running_var")) + 0.1 * noise


@pytest.fixture
def old(motion_set, tmp_path):
    """Arguments that continue from the checkpoint, whose own folders no longer exist."""
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    torch.save(old_checkpoint(), path)
    return [f"--ckpt_path={path}", f"--data.root={motion_set}"]


# results of the first version
SCORES = [0.335184, 0.207638, 0.440269, 0.270501, 0.260279, 0.275071, 0.296109]
LOSSES = [2.5427365, 2.6451712]
VIDEOS = [[1, 6, 3, 11], [5, 7, 15, 8]]
VALIDATION = {"val/loss": 2.5730550, "val/top1": 0.125, "val/top5": 0.5}


def best_scores(folder):
    with (folder / "predictions.csv").open() as file:
        return [float(row["score1"]) for row in csv.DictReader(file)]


def test_it_tests_and_predicts_as_before(old, motion_set, tmp_path):
    folder = f"--trainer.default_root_dir={tmp_path}"
    cli = run_cli(["test", *old, folder])
    assert best_scores(tmp_path / "test")[:7] == pytest.approx(SCORES, abs=2e-6)
    assert float(cli.trainer.callback_metrics["test/video_top5"]) == pytest.approx(8 / 11)
    assert main(["predict", *old, folder, str(motion_set / "videos" / "27.webm")]) == 0
    assert best_scores(tmp_path / "predict") == pytest.approx([SCORES[2]], abs=2e-6)


# the only reading of the paper in the first version; it applies to checkpoints that state none
FIRST_READING = {
    "scanner": "mamba",
    "residual": "single",
    "prior_init": "default",
    "prior_precision": "autocast",
    "dt_min": 0.001,
    "dt_max": 0.1,
    "zero_context": "self",
    "variation_ends": "zero",
    "tsm_shifts": "attention",
}


def test_it_keeps_the_reading_it_was_trained_with(old):
    path = old[0].removeprefix("--ckpt_path=")
    silent = old_checkpoint()["hyper_parameters"]["classifier"]
    assert FIRST_READING.keys() & silent.keys() == {"residual"}
    completed = read_checkpoint(path)["hyper_parameters"]["classifier"]
    assert {name: completed[name] for name in FIRST_READING} == FIRST_READING
    assert {name: completed[name] for name in silent} == silent
    settings = saved_settings(path, command="fit")["model"]["classifier"]
    assert {name: settings[name] for name in FIRST_READING} == FIRST_READING


def test_it_resumes_within_its_epoch_as_before(old, tmp_path, monkeypatch):
    steps = []
    training_step = VideoClassificationTask.training_step

    def watched(task, batch, batch_idx):
        loss = training_step(task, batch, batch_idx)
        steps.append((task.current_epoch, batch_idx, batch["video_index"].tolist(), loss.item()))
        return loss

    monkeypatch.setattr(VideoClassificationTask, "training_step", watched)
    cli = run_cli(["fit", *old, f"--trainer.default_root_dir={tmp_path}"])
    epochs, batches, videos, losses = zip(*steps, strict=True)
    assert (epochs, batches) == ((1, 1), (2, 3))
    assert list(videos) == VIDEOS
    assert losses == pytest.approx(LOSSES, rel=1e-5)
    assert cli.trainer.global_step == 4
    found = {name: float(cli.trainer.callback_metrics[name]) for name in VALIDATION}
    assert found == pytest.approx(VALIDATION, rel=1e-5)
    again = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert list(again["callbacks"]) == list(old_checkpoint()["callbacks"])


def test_a_configuration_with_the_first_residual_says_that_the_default_has_changed(
    tiny_args, caplog
):
    caplog.set_level("INFO", logger="pks4_lightning")
    _note_once.cache_clear()
    run_cli(
        ["fit", *tiny_args, "--trainer.fast_dev_run=true", "--model.classifier.residual=single"]
    )
    (line,) = [line for line in caplog.messages if "residual: single" in line]
    assert "new classifiers have post_prior" in line
