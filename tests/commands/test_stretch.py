"""`pks4 stretch` on the tiny training: 4 frames of 32 pixels, patches of 8, 24-frame videos."""

import csv
import json

import matplotlib.image
import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.commands import stretch as command
from pks4_lightning.experiments.stretch_grid import (
    Cell,
    Results,
    best_within,
    default_frames,
    default_resolutions,
    size_used,
)

GRID = ["--frames", "3", "6", "--resolutions", "24", "33"]


def cell(**changes):
    values = {
        "checkpoint": "a.ckpt",
        "num_frames": 8,
        "resolution": 224,
        "frame_size": 224,
        "gflops": 10.0,
        "top1": 0.5,
        "top1_low": 0.4,
        "top1_high": 0.6,
        "num_videos": 100,
        "clips_per_second": 7.0,
    }
    return Cell(**values | changes)


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def finished(checkpoint, tmp_path_factory):
    """The folder of a finished 2 × 2 grid. Read it; do not write into it."""
    folder = tmp_path_factory.mktemp("stretch")
    assert main(["stretch", f"--ckpt_path={checkpoint}", *GRID, f"--out={folder}"]) == 0
    return folder


def cells(folder):
    return json.loads((folder / "results.json").read_text())["cells"]


def sentence(capsys, args):
    capsys.readouterr()
    assert main(["stretch", *args]) == 1
    (line,) = (
        line for line in capsys.readouterr().err.splitlines() if line.startswith("pks4: error: ")
    )
    return line


def test_every_cell_equals_pks4_test_at_its_scale(checkpoint, finished, tmp_path):
    found = {(row["num_frames"], row["resolution"]): row for row in cells(finished)}
    assert sorted(found) == [(3, 24), (3, 33), (6, 24), (6, 33)]
    for (num_frames, resolution), row in found.items():
        size = {24: 24, 33: 32}[resolution]
        folder = tmp_path / f"{num_frames}x{size}"
        scale = [f"--data.num_frames={num_frames}", f"--data.frame_size={size}"]
        root = f"--trainer.default_root_dir={folder}"
        assert main(["test", f"--ckpt_path={checkpoint}", *scale, root]) == 0
        metrics = json.loads((folder / "test" / "metrics.json").read_text())
        assert row["top1"] == metrics["test/video_top1"]
        assert row["num_videos"] == metrics["num_scored"] == 11
        assert row["frame_size"] == size
        ours = finished / "cells"
        (kept,) = ours.glob(f"*/{num_frames}x{size}/test/predictions.csv")
        assert kept.read_text() == (folder / "test" / "predictions.csv").read_text()


def test_costs_are_those_of_pks4_cost(checkpoint, finished, capsys):
    row = next(row for row in cells(finished) if (row["num_frames"], row["resolution"]) == (6, 24))
    scale = ["--data.num_frames=6", "--data.frame_size=24"]
    capsys.readouterr()
    assert main(["cost", f"--ckpt_path={checkpoint}", *scale, "--json"]) == 0
    flops = json.loads(capsys.readouterr().out)["flops"]["per_view"]
    assert row["gflops"] == pytest.approx(flops["all_matmuls"] / 1e9, abs=1e-6)
    assert row["clips_per_second"] > 0


def test_a_table_a_sheet_and_a_map_are_left(checkpoint, finished, capsys):
    with (finished / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{k: str(v) for k, v in row.items()} for row in cells(finished)] == rows
    assert matplotlib.image.imread(finished / "heat_map.png").std() > 0.05
    args = ["stretch", f"--ckpt_path={checkpoint}", *GRID, f"--out={finished}"]
    assert main(args) == 0
    assert "32 (for 33)" in capsys.readouterr().out


def test_an_interrupted_grid_continues_where_it_stopped(
    checkpoint, tmp_path, monkeypatch, finished
):
    evaluate, seen = command._evaluate_cell, []

    def until_the_third(subject, num_frames, resolution, *rest):
        seen.append((num_frames, resolution))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return evaluate(subject, num_frames, resolution, *rest)

    monkeypatch.setattr(command, "_evaluate_cell", until_the_third)
    args = ["stretch", f"--ckpt_path={checkpoint}", *GRID, f"--out={tmp_path}"]
    assert main(args) == 130
    assert len(cells(tmp_path)) == 2
    assert main(args) == 0
    assert seen[3:] == seen[2:3] + [scale for scale in seen[3:] if scale not in seen[:3]]
    assert len(seen) == 5
    top1 = {(row["num_frames"], row["resolution"]): row["top1"] for row in cells(finished)}
    assert {(row["num_frames"], row["resolution"]): row["top1"] for row in cells(tmp_path)} == top1


def test_a_second_checkpoint_is_cut_as_the_first_one_is(checkpoint, trained, tmp_path):
    best = trained / "checkpoints" / "best.ckpt"
    args = [f"--ckpt_path={checkpoint}", f"--against={best}", "--frames=2"]
    stretched = ["--resolutions", "20", "44", "--model.classifier.grid_size=own"]
    assert main(["stretch", *args, *stretched, f"--out={tmp_path}"]) == 0
    sizes = [(row["checkpoint"], row["frame_size"]) for row in cells(tmp_path)]
    assert sizes == [(str(path), size) for size in (20, 44) for path in (checkpoint, best)]


def test_results_of_other_settings_are_not_mixed(checkpoint, finished, capsys):
    args = [f"--ckpt_path={checkpoint}", *GRID, f"--out={finished}", "--data.num_crops=3"]
    assert "holds results of other settings" in sentence(capsys, args)


@pytest.mark.parametrize("content", ["{", '{"cells": [{"a": 1}]}', "[]"])
def test_a_damaged_results_file_is_named(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=r"results\.json does not hold results of"):
        Results.open(tmp_path, settings=[], digests={})


def test_another_checkpoint_of_the_same_name_is_not_mixed_in(tmp_path):
    Results.open(tmp_path, settings=[], digests={"a.ckpt": "1"}).add(cell())
    assert len(Results.open(tmp_path, settings=[], digests={"b.ckpt": "2"}).cells) == 1
    with pytest.raises(ValueError, match=r"an earlier a\.ckpt; choose another --out"):
        Results.open(tmp_path, settings=[], digests={"a.ckpt": "2"})


def test_more_frames_than_videos_have_are_refused(checkpoint, tmp_path, capsys):
    args = [f"--ckpt_path={checkpoint}", "--frames", "8", "25", f"--out={tmp_path}"]
    said = sentence(capsys, args)
    assert "--frames asks for 25, but the longest of the first 20 videos has 24" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["8 x", "0 8", "", "8,16", "8;16"])
def test_malformed_lists_of_numbers_are_refused(checkpoint, text, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["stretch", f"--ckpt_path={checkpoint}", "--frames", *text.split(" ")])
    said = capsys.readouterr().err
    assert f"--frames takes positive integers such as 8 16, not '{text}'" in said


def test_the_budget_selects_the_most_accurate_scale_and_the_cheapest_on_ties():
    grid = [
        cell(num_frames=8, gflops=10.0, top1=0.5),
        cell(num_frames=12, gflops=15.0, top1=0.7),
        cell(num_frames=16, gflops=20.0, top1=0.7),
        cell(num_frames=32, gflops=40.0, top1=0.9),
    ]
    picked = [best_within(grid, budget).num_frames for budget in (10, 20, 39.9, 40)]
    assert picked == [8, 12, 12, 32]
    with pytest.raises(ValueError, match=r"at most 9 GFLOPs per view; .* 224 pixels, costs 10\."):
        best_within(grid, 9)


def test_the_budgets_command_predicts(checkpoint, finished, motion_set, tmp_path, caplog):
    args = [f"--ckpt_path={checkpoint}", *GRID, f"--out={finished}", "--budget=1"]
    with caplog.at_level("INFO", logger="pks4_lightning"):
        assert main(["stretch", *args]) == 0
    line = caplog.messages[-1].splitlines()[-1]
    video = next((motion_set / "videos").iterdir())
    words = line.removeprefix("pks4 ").replace("VIDEO", str(video)).split()
    assert main([*words, f"--trainer.default_root_dir={tmp_path}"]) == 0
    assert (tmp_path / "predict" / "predictions.csv").is_file()


def test_default_grids_follow_the_training():
    assert default_frames(8) == (8, 12, 16, 24, 32, 48, 64)
    assert default_resolutions(224, unit=16) == (112, 160, 224, 288, 336)
    assert default_resolutions(48, unit=6) == (24, 36, 48, 60, 72)
    assert default_resolutions(48, unit=8) == (24, 32, 48, 64, 72)
    assert size_used(3, unit=8) == 8


def test_a_map_has_a_row_for_every_length():
    grid = command.Grid((4, 8), (24, 48))
    values = command.cell_map([cell(num_frames=8, resolution=24, top1=0.25)], grid)
    np.testing.assert_array_equal(values, [[np.nan, np.nan], [0.25, np.nan]])
