"""``pks4 ablate`` as a process: from nothing to its table, interrupted and continued, refusing."""

import fcntl
import signal

import pytest

from pks4_lightning.ablations.results import read_results
from pks4_lightning.commands.ablate import main

TABLE_7 = ["--table", "7", "--trainer.max_epochs", "1"]


@pytest.fixture
def ablate(tiny_args, tmp_path):
    """Arguments of the smallest ablation: two rows, one epoch, a tiny tower."""
    return ["ablate", *tiny_args, "--out", str(tmp_path / "out"), *TABLE_7]


def finished(folder):
    return sorted(folder.glob("*/seed*/views_*/test/metrics.json"))


def times_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_killed_sweep_goes_on_where_it_stopped(launcher, ablate, tmp_path):
    out = tmp_path / "out"
    process = launcher.start(*ablate)
    process.wait_until(lambda: finished(out))
    process.send(signal.SIGKILL)
    process.wait()
    process.kill_family()
    (done,) = finished(out)
    folder = done.parents[2]
    before = times_of(folder)

    again = launcher.start(*ablate)
    assert again.wait() == 0, again.text()
    assert len(finished(out)) == 2
    assert times_of(folder) == before, "the finished row is left alone"
    assert "1 of 1  Table 7, Bidirectional, seed 0: top-1" in again.text()
    results = read_results(out / "results.csv")
    assert [(each.table, each.row, each.seed) for each in results] == [
        (7, "Unidirectional", 0),
        (7, "Bidirectional", 0),
    ]
    one, other = results
    assert one.config_hash != other.config_hash
    assert one.params < other.params
    assert one.gflops < other.gflops
    for each in results:
        assert each.seconds > 0
        assert each.peak_memory_mb > 10
        assert 0 <= each.top1 <= each.top5 <= 1
    assert "70.4" in again.text(), "the paper's accuracy stands beside ours"


def test_a_terminated_sweep_ends_its_trainings(launcher, ablate, tmp_path):
    process = launcher.start(*ablate, "--trainer.max_epochs=500")
    process.wait_until(lambda: list((tmp_path / "out").glob("*/seed0/checkpoints/last.ckpt")))
    process.send(signal.SIGTERM)
    assert process.wait() == 130, process.text()
    assert process.family() == []
    assert "continues from the last whole epoch" in process.text()
    assert read_results(tmp_path / "out" / "results.csv") == []


def test_a_training_that_still_runs_is_not_started_again(ablate, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main([*ablate[1:], "--print"]) == 0
    first = capsys.readouterr().out.split("--trainer.default_root_dir ")[1].split()[0]
    lock = tmp_path / "out" / first / "running.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(ablate[1:]) == 1
    assert "training Table 7, Unidirectional, seed 0 still runs" in capsys.readouterr().err
    assert not finished(tmp_path / "out")


def test_a_failed_training_shows_the_end_of_its_log(ablate, capsys):
    assert main([*ablate[1:], "--model.classifier.num_classes=5"]) == 1
    error = capsys.readouterr().err
    assert "training Table 7, Unidirectional, seed 0 ended with status 1" in error
    assert "8 classes, the model 5" in error


def test_printed_commands_are_whole_and_run_nothing(ablate, tmp_path, capsys):
    assert main([*ablate[1:], "--print", "--seeds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for line in lines:
        fit, test = line.split(" && ")
        assert fit.startswith("pks4 fit --config ")
        assert "--trainer.max_epochs 1" in fit
        assert test.startswith("pks4 test --ckpt_path ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "3"], "Table 3 is no ablation"),
        (["--table", "12"], "no table 12"),
        (["--table", "7", "--seeds", "0"], "seeds (0) must be at least 1"),
        (["--table", "7", "--jobs", "0"], "jobs (0) must be at least 1"),
        (["--table", "7", "--data.root", "nowhere"], "no data set in nowhere"),
        (["--table", "7", "--data.root", "null"], "names no data set"),
        (["--table", "7", "--data.num_frames"], "--data.num_frames needs a value"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_sentence(
    tiny_args, tmp_path, capsys, arguments, message
):
    assert main([*tiny_args, "--out", str(tmp_path / "out"), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
