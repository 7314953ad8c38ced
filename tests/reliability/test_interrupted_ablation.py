"""A killed or terminated sweep of ablations continues where it stopped."""

import signal

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.experiments.results import read_results

PATIENCE = 400


@pytest.fixture
def ablate(tiny_args, tmp_path):
    """Arguments of a minimal sweep: two rows, one epoch, a tiny tower."""
    out = ["--out", str(tmp_path / "out")]
    return ["ablate", *tiny_args, *out, "--table", "7", "--trainer.max_epochs", "1"]


def times_of(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != "results.csv"
    }


@pytest.mark.timeout(900)
def test_a_killed_sweep_continues_where_it_stopped(launcher, ablate, tmp_path):
    out = tmp_path / "out"
    ablate = [*ablate, "--trainer.max_epochs=12"]
    process = launcher.start(*ablate)
    process.wait_until(lambda: list(out.glob("*/seed0/checkpoints/last.ckpt")), PATIENCE)
    process.send(signal.SIGKILL)
    process.wait()
    process.kill_family()
    (log,) = out.glob("*/seed0/fit.log")

    again = launcher.start(*ablate, "--jobs", "2")
    assert again.wait(PATIENCE) == 0, again.text()
    assert "Resuming from" in log.read_text()
    assert "epoch 1/12" not in log.read_text()
    assert "epoch 12/12" in log.read_text()
    assert again.text().count("of 2  Table 7, ") == 2
    assert "70.4" in again.text(), "the paper's accuracy stands beside ours"
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

    before = times_of(out)
    assert main(ablate) == 0
    assert times_of(out) == before, "nothing finished is done again"


@pytest.mark.timeout(900)
def test_a_terminated_sweep_ends_its_trainings(launcher, ablate, tmp_path):
    process = launcher.start(*ablate, "--trainer.max_epochs=500")
    process.wait_until(
        lambda: list((tmp_path / "out").glob("*/seed0/checkpoints/last.ckpt")), PATIENCE
    )
    process.send(signal.SIGTERM)
    assert process.wait() == 130, process.text()
    assert process.family() == []
    assert "run the same command again to continue" in process.text()
    assert not (tmp_path / "out" / "results.csv").exists()
