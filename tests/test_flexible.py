"""Flexible training through the command line: every shipped variant, on a tiny model."""

import json
import re

import pytest
import torch
import yaml

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from tests.conftest import ROOT
from tests.test_distributed import TWO, pks4_on_two_ranks

CONFIGS = ROOT / "configs"

FILES = sorted((CONFIGS / "flexible").glob("*.yaml"))
VARIANTS = ["none", "temporal", "spatial", "static_patch", "static_tokens", "all"]
# scaled to frames of 32 pixels and patches of 8, from 224 and 16
SMALL = {"num_frames": [1, 2, 6], "frame_sizes": [16, 24, 48], "grid_sizes": [2, 3, 6]}


def overrides(name):
    """Arguments that apply a shipped file's flexible training to the tiny training."""
    path = CONFIGS / "flexible" / f"{name}.yaml"
    drawn = yaml.safe_load(path.read_text())["data"]["flexible"] or {}
    small = [f"--data.flexible.{key}={SMALL[key]}" for key, value in drawn.items() if value]
    if name == "static_tokens":  # the tiny backbone's own grid is 4 × 4
        small = [f"--data.flexible.num_frames={SMALL['num_frames']}"]
        small.append("--data.flexible.frame_sizes=[16, 32, 48]")
    return [f"--config={path}", *small]


def scales(folder, rank=0):
    lines = (folder / f"scales_{rank}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module", autouse=True)
def _our_callback_is_allowed():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKS4_ALLOW_IMPORTS", "tests.helpers.watch_scales")
        yield


@pytest.fixture(
    scope="module",
    params=[
        # the other variants draw lengths and sizes as well
        *(pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS[1:4]),
        *("none", "static_tokens", "all"),
    ],
)
def run(request, tiny_args, tmp_path_factory):
    """Name, folder and command line object of a finished training of a variant."""
    folder = tmp_path_factory.mktemp(request.param)
    watch = "--trainer.callbacks=tests.helpers.watch_scales.WatchScales"
    cli = run_cli(
        [
            "fit",
            *tiny_args,
            *overrides(request.param),
            watch,
            f"--trainer.default_root_dir={folder}",
            "--trainer.max_epochs=3",
        ]
    )
    return request.param, folder, cli


def test_every_variant_trains_on_what_it_draws(run):
    name, folder, cli = run
    seen = scales(folder)
    assert len(seen) == 12, "3 epochs of 2 optimiser steps of 2 micro-batches"
    draws = cli.datamodule.scales.draws()
    for step, *scale in seen:
        if draws is None:
            assert scale == [4, 32, None]
        else:
            drawn = draws.at(step)
            assert scale == [drawn.num_frames, drawn.frame_size, drawn.patch_size]
    varies = [len(set(values)) > 1 for values in zip(*seen, strict=True)][1:]
    assert (
        varies
        == {
            "none": [False, False, False],
            "temporal": [True, False, False],
            "spatial": [False, True, False],
            "static_patch": [True, True, False],
            "static_tokens": [True, True, False],
            "all": [True, True, True],
        }[name]
    )


def test_the_summary_contains_the_cost_of_the_draws(run):
    name, folder, _ = run
    resolved = yaml.safe_load((folder / "checkpoints" / "resolved.yaml").read_text())
    means = resolved.get("drawn_on_average")
    if name == "none":
        assert means is None
        return
    assert means["frames"] == (4 if name == "spatial" else 3)
    assert means["videos_per_batch"] == 4
    longer = means["frames"] / 4
    expected = {
        "temporal": longer,
        "spatial": (4 + 9 + 36) / 3 / 16,
        "static_patch": longer * (4 + 9 + 36) / 3 / 16,
        "static_tokens": longer,
        # possible grids: 2 for 16 pixels; 2, 3 and 6 for 24; all for 48
        "all": longer * (4 + 2 * (4 + 9 + 36) / 3) / 3 / 16,
    }[name]
    assert means["tokens"] == pytest.approx(expected, rel=1e-3)


def test_a_checkpoint_holds_the_parameters_of_any_other(run, trained):
    _, folder, _ = run
    plain = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    ours = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in plain.items()}


def test_every_checkpoint_tests_at_other_scales(run, tmp_path):
    name, folder, _ = run
    num_frames, frame_size = [(1, 16), (7, 40), (9, 56)][VARIANTS.index(name) % 3]
    status = main(
        [
            "test",
            f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}",
            f"--data.num_frames={num_frames}",
            f"--data.frame_size={frame_size}",
            f"--trainer.default_root_dir={tmp_path}",
        ]
    )
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert status == 0
    assert metrics["num_scored"] == 11


@pytest.mark.parametrize("grid_size", ["own", "null"])
def test_sizes_between_patches_are_rounded_on_a_fixed_grid_and_refused_without(
    trained, tmp_path, caplog, capsys, grid_size
):
    with caplog.at_level("INFO", logger="pks4_lightning"):
        status = main(
            [
                "test",
                f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}",
                f"--model.classifier.grid_size={grid_size}",
                "--data.frame_size=43",
                f"--trainer.default_root_dir={tmp_path}",
            ]
        )
    if grid_size == "own":
        assert status == 0
        assert any("to 44 pixels instead of 43" in message for message in caplog.messages)
        assert "differs from the checkpoint: data.resize: 36 -> 48" in caplog.messages
    else:
        assert status == 1
        sentence = "pks4: error: data.frame_size is 43; the model cuts frames into patches of 8 "
        assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_draw_what_one_process_draws(tiny_args, tmp_path):
    watch = "--trainer.callbacks=tests.helpers.watch_scales.WatchScales"
    args = ["fit", *tiny_args, *overrides("static_tokens"), watch, "--trainer.max_epochs=3"]
    one, two = tmp_path / "one", tmp_path / "two"
    run_cli([*args, f"--trainer.default_root_dir={one}"])
    pks4_on_two_ranks(
        [*args, f"--trainer.default_root_dir={two}", "--trainer.strategy=ddp", *TWO], tmp_path
    )
    # a step is two micro-batches of one process, or one micro-batch of each of two ranks
    assert scales(one)[::2] == scales(one)[1::2] == scales(two, 0) == scales(two, 1)
    assert len({tuple(scale) for _, *scale in scales(one)}) > 2


def test_a_given_resize_is_kept(trained, tmp_path):
    cli = run_cli(
        [
            "test",
            f"--ckpt_path={trained / 'checkpoints' / 'last.ckpt'}",
            "--data.frame_size=16",
            "--data.resize=20",
            f"--trainer.default_root_dir={tmp_path}",
        ]
    )
    assert cli.datamodule.scales.resize == 20


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--data.flexible.frame_sizes=[32, 44]"], "Frames of 44 pixels .* patches of 8 pixels; "),
        (
            ["--data.flexible.frame_sizes=[32, 42]", "--model.classifier.grid_size=own"],
            "Frames of 42 pixels .* into 4 x 4 patches; give multiples of 4, such as a preset",
        ),
        (
            ["--data.flexible.frame_sizes=[32, 33]", "--data.flexible.grid_sizes=[2, 4]"],
            "Frames of 33 pixels .* any grid",
        ),
        (["--data.flexible.num_frames=[]"], "data.flexible.num_frames is "),
        (["--model.classifier.grid_size=0"], r"grid_size is 0; it must be at least 1, 'own' for"),
    ],
    ids=["patch", "grid", "grids", "empty", "zero"],
)
def test_unsupported_sizes_are_refused_before_anything_is_written(
    tiny_args, tmp_path, capsys, args, sentence
):
    folder = tmp_path / "run"
    try:
        status = main(["fit", *tiny_args, *args, f"--trainer.default_root_dir={folder}"])
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    assert re.search(sentence, capsys.readouterr().err)
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_applies_to_a_training_and_states_the_command(path, tmp_path):
    header = path.read_text()
    base = re.search(rf"pks4 fit --config (\w+) --config flexible/{path.stem}\b", header)
    assert base
    assert header.startswith("# ")
    cli = run_cli(
        [
            "fit",
            f"--config={base.group(1)}",
            f"--config={path}",
            "--data.root=/",
            "--model.classifier.pretrained=false",
            f"--trainer.default_root_dir={tmp_path}",
            "--trainer.precision=32",
        ],
        start=False,
    )
    patch_size, grid = (14, 16) if path.stem == "l14" else (16, 14)
    chosen = cli.model.config.grid_size
    cli.datamodule.match_patches(
        patch_size=patch_size, grid_size=grid if chosen == "own" else chosen
    )
    if path.stem != "none":
        means = cli.datamodule.mean_draws()
        length = cli.datamodule.num_frames if path.stem == "spatial" else 30
        assert means["frames"] == pytest.approx(length)
