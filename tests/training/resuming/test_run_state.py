"""Resuming through the command line in one process: refused and allowed changes."""

import random
import shutil

import numpy as np
import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.training.resuming.random_state import random_state, restore_random_state
from pks4_lightning.training.resuming.run_state import changes, place
from pks4_lightning.training.task import VideoClassificationTask

CPU = torch.device("cpu")


@pytest.fixture
def copy(trained, tmp_path):
    """Arguments with a copy of a finished training's checkpoint (2 epochs) and its folder."""
    (tmp_path / "checkpoints").mkdir()
    path = shutil.copy(trained / "checkpoints" / "last.ckpt", tmp_path / "checkpoints")
    return ["--ckpt_path", str(path), f"--trainer.default_root_dir={tmp_path}"]


def saved(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def draws():
    return random.random(), np.random.random(), torch.rand(3).tolist()  # noqa: NPY002 - as below


def test_all_generators_go_on_from_a_state_that_loads_safely(tmp_path):
    random.gauss(0, 1)
    np.random.normal()  # noqa: NPY002 - tests the global generator
    torch.randn(1)
    torch.save(random_state(CPU), tmp_path / "state.pt")
    expected = draws(), draws()
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert (draws(), draws()) == expected


def test_changes_name_both_values():
    assert changes({"a": 1, "b": 2}, {"a": 1, "b": 3}) == ["b 2 -> 3"]
    assert changes({"a": 1}, {"c": 2}) == ["a 1 -> None", "c None -> 2"]


class Batches:
    batch_size = 4


def test_a_position_is_counted_in_batches_of_the_resuming_run():
    run = {"epoch": 3, "num_videos": 16, "validation": "none"}
    assert place(run, Batches, world_size=1).batches == 4
    assert place(run, Batches, world_size=2).batches == 2
    with pytest.raises(ValueError, match=r"used 16 videos .* 3 rank\(s\) and batches of 4"):
        place(run, Batches, world_size=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--trainer.max_epochs=3"], "total_steps 4 -> 6"),
        (["--model.recipe.base_lr=0.5"], "peak_lr 0.001 -> 0.015625"),
        (["--model.recipe.weight_decay=0.1"], "weight_decay 0.05 -> 0.1"),
        (["--trainer.accumulate_grad_batches=4"], "videos_per_step 8 -> 16"),
        (["--data.seed=5"], "data.seed 0 -> 5"),
        (["--data.train=labels/validation.json"], "training videos 16 (sha256"),
        (["--model.classifier.causal=true"], "model.classifier.causal False -> True"),
        (["--data.num_frames=8"], "data.num_frames 4 -> 8"),
        (["--data.augmentation.flip=0"], "data.augmentation.flip 0.5 -> 0.0"),
    ],
    ids=[
        *("epochs", "rate", "decay", "accumulation", "seed", "videos"),
        *("function", "clips", "augmentation"),
    ],
)
def test_another_run_is_refused_by_name(copy, tiny_args, capsys, change, words):
    assert main(["fit", *tiny_args, *copy, *change]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "--allow_changes true" in error
    assert "Traceback" not in error


def test_a_checkpoint_without_the_state_of_its_run_is_refused(copy, tiny_args, tmp_path, capsys):
    checkpoint = saved(tmp_path)
    del checkpoint["run"]
    torch.save(checkpoint, tmp_path / "checkpoints" / "last.ckpt")
    assert main(["fit", *tiny_args, *copy]) == 1
    assert "does not record the state of its run" in capsys.readouterr().err


def test_what_an_earlier_version_did_not_record_is_taken_from_the_checkpoint_or_trusted(
    copy, tiny_args, tmp_path, capsys
):
    checkpoint = saved(tmp_path)
    checkpoint["run"]["terms"] = {
        name: value
        for name, value in checkpoint["run"]["terms"].items()
        if not name.startswith(("model.classifier", "data.")) or name == "data.seed"
    }
    torch.save(checkpoint, tmp_path / "checkpoints" / "last.ckpt")
    assert main(["fit", *tiny_args, *copy, "--model.classifier.residual=single"]) == 1
    assert "model.classifier.residual post_prior -> single" in capsys.readouterr().err
    assert main(["fit", *tiny_args, *copy]) == 0


@pytest.mark.parametrize(
    "change",
    [
        ["--model.recipe.trains=head"],
        ["--model.recipe.embedding_rate=full", "--model.recipe.decay_class_route=false"],
    ],
    ids=["head", "rates"],
)
def test_a_change_of_the_optimisers_groups_leaves_every_parameter_its_own_state(
    copy, tiny_args, tmp_path, change
):
    before = steps_by_name(saved(tmp_path))
    more = ["--trainer.max_epochs=3", "--allow_changes=true"]
    run_cli(["fit", *tiny_args, *copy, *more, *change])
    after = steps_by_name(saved(tmp_path))
    assert set(before.values()) == {4}
    assert set(after.values()) == {6}
    head = {"head.weight", "head.bias"}
    assert set(after) == (head if "trains=head" in change[0] else set(before))


def steps_by_name(checkpoint):
    """Return how many steps AdamW has made with each parameter."""
    (optimiser,) = checkpoint["optimizer_states"]
    return {
        name: int(optimiser["state"][key]["step"])
        for group in optimiser["param_groups"]
        for name, key in zip(group["param_names"], group["params"], strict=True)
        if key in optimiser["state"]
    }


def test_a_training_can_be_extended_with_new_rates(copy, tiny_args, tmp_path):
    before = saved(tmp_path)
    new = ["--trainer.max_epochs=4", "--model.recipe.base_lr=0.064"]
    cli = run_cli(["fit", *tiny_args, *copy, *new, "--allow_changes=true"])
    after = saved(tmp_path)
    assert (before["global_step"], after["global_step"]) == (4, 8)
    assert (before["run"]["epoch"], after["run"]["epoch"]) == (2, 4)
    assert cli.model.schedule.total_steps == 8
    for group in after["optimizer_states"][0]["param_groups"]:
        (old,) = (
            old for old in before["optimizer_states"][0]["param_groups"]
            if old["name"] == group["name"]
        )  # fmt: skip
        assert group["initial_lr"] == pytest.approx(2 * old["initial_lr"])
    assert after["config"]["trainer"]["max_epochs"] == 4
    # permission applies to a single run
    assert main(["fit", *tiny_args, *copy, "--trainer.max_epochs=6"]) == 1


def test_new_rates_hold_from_the_first_step_on(copy, tiny_args, monkeypatch):
    rates = []

    def on_before_zero_grad(task, optimizer):
        rates.append(optimizer.param_groups[-1]["lr"])

    monkeypatch.setattr(VideoClassificationTask, "on_before_zero_grad", on_before_zero_grad)
    new = ["--trainer.max_epochs=4", "--model.recipe.base_lr=0.064", "--allow_changes=true"]
    run_cli(["fit", *tiny_args, *copy, *new])
    # steps 5 to 8 of a schedule of 8, of which 2 warm up to 0.002
    floor = 1e-6 / 0.064
    cosine = [floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * k / 6)) for k in range(2, 6)]
    assert rates == pytest.approx([0.002 * factor for factor in cosine])


class StopHereError(Exception):
    pass


@pytest.fixture
def fit_and_stop(tiny_args, monkeypatch):
    """Fit in a folder, with a checkpoint after each step, and stop before a batch of an epoch."""

    def fit(folder, *args, before):
        def training_step(task, batch, batch_idx):
            if batch_idx == before:
                raise StopHereError
            return plain(task, batch, batch_idx)

        plain = VideoClassificationTask.training_step
        each = "--last_checkpoint.every_n_train_steps=1"
        given = ["fit", *tiny_args, each, f"--trainer.default_root_dir={folder}", *args]
        with monkeypatch.context() as patch:
            patch.setattr(VideoClassificationTask, "training_step", training_step)
            with pytest.raises(StopHereError):
                run_cli(given)

    return fit


@pytest.mark.parametrize(
    "what", [["head"], ["after_insertion", "--model.classifier.route_from=2"]], ids=lambda w: w[0]
)
def test_frozen_parts_stay_frozen_in_an_epoch_that_is_resumed(
    tiny_args, tmp_path, fit_and_stop, what
):
    args = [
        *("--trainer.max_epochs=1", "--model.recipe.reference_batch=4"),
        "--model.classifier.backbone_config.attention_dropout=0.1",
        *("--model.recipe.trains", *what),
    ]
    run_cli(["fit", *tiny_args, *args, f"--trainer.default_root_dir={tmp_path / 'whole'}"])
    fit_and_stop(tmp_path / "parts", *args, before=1)
    resumed = ["--ckpt_path=last", f"--trainer.default_root_dir={tmp_path / 'parts'}"]
    run_cli(["fit", *tiny_args, *args, *resumed])
    whole, parts = (saved(tmp_path / each)["state_dict"] for each in ("whole", "parts"))
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []


@pytest.mark.parametrize("every_n_minutes", ["0.0", "null"])
def test_a_training_saves_within_its_epochs_and_only_after_whole_steps(
    tiny_args, tmp_path, monkeypatch, every_n_minutes
):
    places = []
    monkeypatch.setattr(
        "lightning.pytorch.Trainer.save_checkpoint",
        lambda trainer, path, *_: places.append(
            (
                path.rpartition("/")[2],
                trainer.current_epoch,
                trainer.fit_loop.epoch_loop.batch_progress.current.processed,
            )
        ),
    )
    folder = f"--trainer.default_root_dir={tmp_path}"
    run_cli(["fit", *tiny_args, folder, f"--last_checkpoint.every_n_minutes={every_n_minutes}"])
    within = [("last.ckpt", 0, 2), ("last.ckpt", 1, 2)] if every_n_minutes == "0.0" else []
    expected = sorted([*within, ("last.ckpt", 0, 4), ("last.ckpt", 1, 4)])
    assert sorted(place for place in places if place[0] == "last.ckpt") == expected
