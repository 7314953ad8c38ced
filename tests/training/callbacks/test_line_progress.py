"""Progress as lines in a log and as a file in the run's folder."""

import itertools
import logging
import os
import signal
from types import SimpleNamespace

import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.progress import read_progress, time_left, write_progress
from pks4_lightning.training.callbacks.line_progress import LineProgress
from pks4_lightning.training.task import VideoClassificationTask


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "pks4_lightning.training.callbacks.line_progress")
    return lambda: [
        record.getMessage() for record in caplog.records if "line_progress" in record.name
    ]


def test_a_training_logs_its_progress(tiny_args, tmp_path, lines):
    run_cli(["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}"])
    share, note = read_progress(tmp_path / "progress.json")
    assert share == 1.0
    assert note.startswith("epoch 2/2, val/top1 ")
    assert [line.split("  ")[0] for line in lines() if "loss" in line and "batch" in line] == [
        "epoch 1/2",
        "epoch 2/2",
    ]


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_progress_counts_the_limit_that_is_reached_first(tiny_args, tmp_path, lines, caplog):
    root = f"--trainer.default_root_dir={tmp_path}"
    with torch.backends.mkldnn.flags(enabled=False):
        run_cli(
            [
                *("fit", *tiny_args, root, "--trainer.max_epochs=10", "--trainer.max_steps=2"),
                "--trainer.precision=bf16-mixed",
            ]
        )
    share, note = read_progress(tmp_path / "progress.json")
    assert share == 1.0
    assert note.startswith("epoch 1/10, step 2/2")
    assert "set --trainer.precision 32-true" in caplog.text, "slow here"


@pytest.mark.parametrize(
    ("done", "end"),
    [
        (1, "; about 9 min left"),
        (9, "; about 7 s left"),
        (10, ""),
    ],
)
def test_the_time_left_is_in_a_unit_that_says_something_and_none_at_the_end(done, end):
    assert time_left(60.0, done=done, total=10) == end


def test_a_run_that_leaves_nothing_behind_writes_no_file(tiny_args, tmp_path):
    root = f"--trainer.default_root_dir={tmp_path}"
    run_cli(["fit", *tiny_args, root, "--trainer.fast_dev_run=true"])
    assert not (tmp_path / "progress.json").exists()


def test_progress_is_zero_before_the_start(tmp_path):
    assert read_progress(tmp_path / "progress.json") == (0.0, "")
    write_progress(tmp_path / "progress.json", 0.25, "epoch 1/4")
    assert read_progress(tmp_path / "progress.json") == (0.25, "epoch 1/4")


def test_an_unwritable_progress_file_does_not_end_the_run(tmp_path):
    (tmp_path / "folder").write_text("a file")
    write_progress(tmp_path / "folder" / "progress.json", 0.5, "")


def test_a_resumed_run_counts_what_it_does_itself_until_the_end_of_the_training(
    tiny_args, tmp_path, lines, monkeypatch
):
    step = VideoClassificationTask.training_step

    def signalled(task, batch, batch_idx):
        if batch_idx == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(task, batch, batch_idx)

    args = ["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}"]
    with monkeypatch.context() as patch:
        patch.setattr(VideoClassificationTask, "training_step", signalled)
        with pytest.raises(SystemExit, match="143"):
            main(args)
    clock = itertools.count(1_000_000, 10)  # uptime is long; each reading adds 10 s
    monkeypatch.setattr(
        "pks4_lightning.training.callbacks.line_progress.time",
        SimpleNamespace(monotonic=lambda: next(clock)),
    )
    every = f"--trainer.callbacks+={LineProgress.__module__}.LineProgress"
    assert main([*args, "--ckpt_path=last", every, "--trainer.callbacks.every_seconds=0"]) == 0
    times = [line.split("  ")[-1] for line in lines() if "batch" in line and "loss" in line]
    left = [f"; about {seconds} s left" for seconds in (50, 40, 30, 20, 10)]
    assert times == [f"{10 * done} s{end}" for done, end in enumerate([*left, ""], start=1)]
