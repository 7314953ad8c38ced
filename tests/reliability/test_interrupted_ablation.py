"""A sweep of ablations is killed or ended, and goes on where it stopped."""

import signal

import pytest

from pks4_lightning.ablations.results import read_results


@pytest.fixture
def ablate(tiny_args, tmp_path):
    """Arguments of the smallest sweep: two rows, one epoch, a tiny tower."""
    out = ["--out", str(tmp_path / "out")]
    return ["ablate", *tiny_args, *out, "--table", "7", "--trainer.max_epochs", "1"]


def finished(folder):
    return sorted(folder.glob("*/seed*/views_*/test/metrics.json"))


def times_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_killed_sweep_goes_on_where_it_stopped(launcher, ablate, tmp_path):
    out = tmp_path / "out"
    process = launcher.start(*ablate)
    process.wait_until(lambda: finished(out), 200)
    process.send(signal.SIGKILL)
    process.wait()
    process.kill_family()
    (done,) = finished(out)
    folder = done.parents[2]
    before = times_of(folder)

    again = launcher.start(*ablate)
    assert again.wait(200) == 0, again.text()
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
    assert not (tmp_path / "out" / "results.csv").exists()


def test_an_interrupted_training_is_continued(launcher, ablate, tmp_path):
    out = tmp_path / "out"
    epochs = "--trainer.max_epochs=12"
    process = launcher.start(*ablate, epochs)
    process.wait_until(lambda: list(out.glob("*/seed0/checkpoints/last.ckpt")), 200)
    process.send(signal.SIGKILL)
    process.wait()
    process.kill_family()
    again = launcher.start(*ablate, epochs)
    assert again.wait(220) == 0, again.text()
    first = min(out.glob("*/seed0/fit.log"), key=lambda path: path.stat().st_mtime_ns)
    assert "Continuing from" in first.read_text()
    assert "epoch 1/12" not in first.read_text()
    assert "epoch 12/12" in first.read_text()
