"""NaN and out-of-memory faults: no bad update, a helpful message, no bad file."""

import json

import pytest
import torch
import yaml

KS4_ONLY = [
    "--model.classifier.use_correlation=false",  # leaves no BatchNorm
    "--model.classifier.use_variation=false",
]

REPLICATED = ["--trainer.strategy=ddp"]
SHARDED = [
    "--trainer.strategy=lightning.pytorch.strategies.ModelParallelStrategy",
    "--trainer.strategy.save_distributed_checkpoint=false",
]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def fit(tiny_args, folder):
    """Arguments of a training with 10 optimiser steps."""
    return ["fit", *tiny_args, "--trainer.max_epochs=5", f"--trainer.default_root_dir={folder}"]


def tensors(value):
    """Yield all tensors and numbers of a nested structure."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, float):
        yield torch.tensor(value)
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)


def assert_files_are_finite(folder):
    checkpoints = list(folder.rglob("*.ckpt"))
    assert len(checkpoints) == 2
    for path in checkpoints:
        for tensor in tensors(torch.load(path, weights_only=True)["state_dict"]):
            assert tensor.isfinite().all(), path


def assert_weights_are_of_the_step_before(folder, rank=0):
    before, after = (
        torch.load(folder / f"{name}_{rank}.pt", weights_only=True) for name in ("before", "after")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


class TestNaN:
    @pytest.mark.parametrize("where", ["input", "loss", "gradient"])
    def test_of_step_7_leaves_the_weights_of_step_6(self, launcher, fit, folder, where, record):
        process = launcher.start(
            *fit,
            prepare="tests.reliability.bad_numbers:plant_nan",
            folder=str(folder),
            where=where,
            step=7,
        )
        assert process.wait() == 1, process.text()
        assert "Traceback" not in process.text()
        what = "gradient" if where == "gradient" else "loss"
        assert f"pks4: error: The {what} of optimiser step 7 is not finite" in process.text()

        assert_weights_are_of_the_step_before(folder)
        assert_files_are_finite(folder)
        assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6

        report = yaml.safe_load((folder / "not_finite.yaml").read_text())
        assert (report["step"], report["epoch"], report["not_finite"]) == (7, 3, what)
        planted = json.loads((folder / "planted.json").read_text())
        assert len(set(planted)) == 4
        # a loss identifies the micro-batch, a gradient does not
        assert len(report["batches"]) == (2 if where == "gradient" else 1)
        assert report["batches"][-1]["videos"] == planted
        record(f"NaN in the {where}", updates_by_it=0, files_with_it=0, videos_named=len(planted))

    @pytest.mark.parametrize(
        ("where", "strategy"),
        [("loss", REPLICATED), ("gradient", REPLICATED), ("gradient", SHARDED)],
        ids=["loss", "gradient", "sharded gradient"],
    )
    def test_on_one_rank_stops_both(self, launcher, fit, folder, where, strategy, request, record):
        ranks = launcher.start_ranks(
            *fit,
            *strategy,
            "--trainer.devices=2",
            prepare="tests.reliability.bad_numbers:plant_nan",
            folder=str(folder),
            where=where,
            step=7,
            rank=1,
        )
        assert [rank.wait() for rank in ranks] == [1, 1], ranks[0].text()
        for rank in ranks:
            assert f"The {where} of optimiser step 7 is not finite" in rank.text()
            assert "Traceback" not in rank.text()
            assert rank.family() == []
        for rank in (0, 1):
            assert_weights_are_of_the_step_before(folder, rank)
        assert_files_are_finite(folder)

        batches = yaml.safe_load((folder / "not_finite.yaml").read_text())["batches"]
        # the ranks share one gradient, so the message names the videos of both
        assert [batch["rank"] for batch in batches] == ([1] if where == "loss" else [0, 1])
        assert batches[-1]["videos"] == json.loads((folder / "planted.json").read_text())
        record(
            f"NaN in the {request.node.callspec.id} of one rank of two",
            ranks_stopped=2,
            ranks_hanging=0,
        )


class TestOutOfMemory:
    def test_at_step_5_halves_the_pass_and_trains_on(self, launcher, fit, folder, tmp_path, record):
        args = [*fit, "--data.batch_size=8", *KS4_ONLY]
        plain = tmp_path / "plain"
        processes = [
            launcher.start(
                *args,
                "--model.recipe.clips_per_pass=auto",
                prepare="tests.reliability.bad_numbers:plant_out_of_memory",
                folder=str(folder),
                most=4,
                step=5,
            ),
            launcher.start(*args, f"--trainer.default_root_dir={plain}"),
        ]
        assert [process.wait() for process in processes] == [0, 0], processes[0].text()
        assert json.loads((folder / "planted.json").read_text()) == {"step": 5}, "only once"
        assert "Not enough memory for 8 clips of 4 frames × 32 × 32 pixels" in processes[0].text()
        assert "4 at a time" in processes[0].text()
        halved, whole = (
            torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
            for run in (folder, plain)
        )
        difference = max(float((halved[name] - whole[name]).abs().max()) for name in whole)
        # Adam's division amplifies the gradients' rounding errors
        assert difference < 1e-4
        record("memory runs out at step 5: 8 -> 2 x 4", largest_difference_of_weights=difference)

    def test_on_one_rank_halves_on_both(self, launcher, fit, folder):
        ranks = launcher.start_ranks(
            *fit,
            "--trainer.devices=2",
            "--model.recipe.clips_per_pass=auto",
            prepare="tests.reliability.bad_numbers:plant_out_of_memory",
            folder=str(folder),
            most=1,
            step=5,
            rank=1,
        )
        assert [rank.wait() for rank in ranks] == [0, 0], ranks[1].text()
        assert "continuing with 1 at a time" in ranks[0].text(), "which has memory"
        assert (folder / "planted.json").is_file()

    @pytest.mark.parametrize(
        ("most", "args", "sentence"),
        [
            (2, [], "2 at a time fit: set --model.recipe.clips_per_pass 2,"),
            (0, [], "and not even a single clip at a time fits: lower --data.num_frames"),
            (
                1,
                ["--model.recipe.clips_per_pass=2"],
                ", 2 at a time; 1 at a time fit: set --model.recipe.clips_per_pass 1,",
            ),
        ],
    )
    def test_ends_with_the_sizes_and_what_fits(self, launcher, fit, folder, most, args, sentence):
        process = launcher.start(
            *fit,
            *args,
            prepare="tests.reliability.bad_numbers:plant_out_of_memory",
            folder=str(folder),
            most=most,
            step=2,
        )
        assert process.wait() == 1, process.text()
        (line,) = [line for line in process.text().splitlines() if "error" in line]
        assert "not enough memory for a batch of 4 clips of 4 frames × 32 × 32 pixels" in line
        assert sentence in line
        assert "Traceback" not in process.text()

    def test_with_nothing_left_to_halve_ends_with_a_sentence(self, launcher, fit, folder):
        process = launcher.start(
            *fit,
            "--model.recipe.clips_per_pass=auto",
            prepare="tests.reliability.bad_numbers:plant_out_of_memory",
            folder=str(folder),
            most=0,
            step=2,
        )
        assert process.wait() == 1, process.text()
        assert "not enough memory for one clip of 4 frames × 32 × 32 pixels" in process.text()
        assert "Traceback" not in process.text()

    def test_of_a_validation_says_the_sizes(self, launcher, fit, folder):
        process = launcher.start(
            *fit,
            prepare="tests.reliability.bad_numbers:plant_out_of_memory_in_validation",
            folder=str(folder),
        )
        assert process.wait() == 1, process.text()
        assert "frames × 32 × 32 pixels: lower --data.batch_size" in process.text()
        assert (folder / "planted.json").is_file()
