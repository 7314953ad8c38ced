"""Progress as lines in a log, and as a file beside the run."""

import logging

import pytest

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.progress import read_progress, write_progress


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "pks4_lightning.training.callbacks.line_progress")
    return lambda: [
        record.getMessage() for record in caplog.records if "line_progress" in record.name
    ]


def test_a_training_says_how_far_it_is(tiny_args, tmp_path, lines):
    run_cli(["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}"])
    share, note = read_progress(tmp_path / "progress.json")
    assert share == 1.0
    assert note.startswith("epoch 2/2, val/top1 ")
    assert [line.split("  ")[0] for line in lines() if "loss" in line and "batch" in line] == [
        "epoch 1/2",
        "epoch 2/2",
    ]


def test_a_run_that_leaves_nothing_behind_writes_no_file(tiny_args, tmp_path):
    root = f"--trainer.default_root_dir={tmp_path}"
    run_cli(["fit", *tiny_args, root, "--trainer.fast_dev_run=true"])
    assert not (tmp_path / "progress.json").exists()


def test_what_has_not_begun_is_at_nothing(tmp_path):
    assert read_progress(tmp_path / "progress.json") == (0.0, "")
    write_progress(tmp_path / "progress.json", 0.25, "epoch 1/4")
    assert read_progress(tmp_path / "progress.json") == (0.25, "epoch 1/4")


def test_a_place_that_takes_no_file_ends_no_run(tmp_path):
    (tmp_path / "folder").write_text("a file")
    write_progress(tmp_path / "folder" / "progress.json", 0.5, "")
