"""Accuracy is identical for every command, batch size and number of ranks, to the last digit.

Tested under bfloat16 autocast, which every configuration uses. The scores of this model are close
to each other and would tie with a head in bfloat16.
"""

import csv
import json

import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.training.scoring.view_scores import ViewScores
from tests.helpers.two_ranks import TWO, pks4_on_two_ranks

PRECISION = "--trainer.precision=bf16-mixed"
TESTS = {"one by one": "1", "in threes": "3", "all at once": "11"}


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """Run a command on the trained checkpoint in a separate folder; return the logged metrics."""
    folder = tmp_path_factory.mktemp("scores")

    def run(command, name, *args):
        own = [f"--trainer.default_root_dir={folder / name}", PRECISION, *args]
        cli = run_cli([command, f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}", *own])
        return {key: float(value) for key, value in cli.trainer.callback_metrics.items()}

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def tests(run, trained):
    """Logged accuracies and the folder of each test; all use the same videos and two views."""
    views = ["--data.num_clips=2"]
    logged = {
        name: run("test", name, *views, f"--data.test_batch_size={size}")
        for name, size in TESTS.items()
    }
    checkpoint = f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}"
    place = f"--trainer.default_root_dir={run.folder / 'two ranks'}"
    ddp = ["--trainer.strategy=ddp", *TWO]
    pks4_on_two_ranks(["test", checkpoint, PRECISION, place, *views, *ddp], run.folder)
    return logged, {name: run.folder / name / "test" for name in [*TESTS, "two ranks"]}


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_scores_do_not_depend_on_batches_and_ranks(tests):
    logged, folders = tests
    reports = [metrics(folder) for folder in folders.values()]
    assert all(report == reports[0] for report in reports)
    for k in ("top1", "top5"):
        (value,) = {round(found[f"test/video_{k}"], 6) for found in logged.values()}
        assert value == reports[0][f"test/video_{k}"]


def test_all_files_contain_the_same_scores(tests, capsys):
    _, folders = tests
    folder = folders["in threes"]
    report = metrics(folder)
    assert main(["rescore", str(folder / "view_scores.npz"), "--json"]) == 0
    both, *_ = json.loads(capsys.readouterr().out)
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "per_class.csv").open(newline="") as file:
        classes = list(csv.DictReader(file))
    confusion = np.loadtxt(
        folder / "confusion.csv", delimiter=",", skiprows=1, usecols=range(1, 9), dtype=int
    )
    shares = [
        np.mean([row["label"] == row["top1"] for row in rows]),
        sum(float(row["accuracy"] or 0) * int(row["num_videos"]) for row in classes) / 11,
        np.trace(confusion) / confusion.sum(),
    ]
    assert both["top1"] == report["test/video_top1"]
    assert both["top1_interval"] == report["test/video_top1_interval"]
    assert shares == pytest.approx([report["test/video_top1"]] * 3, abs=1e-6)


def test_tested_and_predicted_videos_have_the_same_scores(tests, run, trained):
    _, folders = tests
    listed = run.folder / "videos.txt"
    with (folders["in threes"] / "predictions.csv").open(newline="") as file:
        tested = list(csv.DictReader(file))
    listed.write_text("\n".join(row["video_path"] for row in tested))
    checkpoint = f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}"
    out = run.folder / "predicted"
    options = [checkpoint, PRECISION, "--data.num_clips=2", f"--out={out}"]
    assert main(["predict", *options, str(listed)]) == 0
    with (out / "predictions.csv").open(newline="") as file:
        predicted = list(csv.DictReader(file))
    assert [row["top1"] for row in predicted] == [row["top1"] for row in tested]


def test_validation_and_test_of_a_split_have_the_same_scores(run):
    validated = run("validate", "validate")
    tested = run("test", "validation videos", "--data.test=labels/validation.json")
    for k in ("top1", "top5"):
        assert validated[f"val/{k}"] == tested[f"test/video_{k}"]
    scores = ViewScores.load(run.folder / "validation videos" / "test" / "view_scores.npz")
    of_the_label = np.take_along_axis(scores.scores, scores.label[:, None], axis=1)
    assert validated["val/loss"] == pytest.approx(-np.log(of_the_label).mean(), rel=1e-6)
