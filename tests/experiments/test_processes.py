"""Commands side by side: order, failure, what their logs tell."""

import time

import pytest

from pks4_lightning.experiments.processes import (
    Command,
    CommandError,
    Stage,
    read_stage,
    run_side_by_side,
)
from tests.conftest import ROOT

TRAINING = """\
epoch 1/4  batch 10/20  loss 1.5000  15 s, 15 s left
"""
VALIDATED = """\
epoch 2/4  batch 20/20  loss 0.5000  30 s, 0 s left
epoch 2/4  step 40  val/loss 0.4000  val/top1 0.8750  val/top5 1.0000
"""
NEXT_EPOCH = f"{VALIDATED}epoch 3/4  batch 5/20  loss 0.4000  15 s, 45 s left\n"
TESTING = "test  batch 3/12    15 s, 45 s left\n"


@pytest.mark.parametrize(
    ("log", "stage"),
    [
        ("Seed set to 0\n", Stage(0.0, "")),
        (TRAINING, Stage(0.125, "epoch 1/4")),
        (VALIDATED, Stage(0.5, "epoch 2/4, val/top1 87.5%")),
        (NEXT_EPOCH, Stage(0.5625, "epoch 2/4, val/top1 87.5%")),
        (TESTING, Stage(0.25, "")),
    ],
)
def test_a_log_tells_how_far_a_command_is(log, stage):
    assert read_stage(log) == stage


@pytest.fixture
def make_command(tmp_path):
    done = []

    def make(name, *arguments):
        return Command(name, arguments, tmp_path / f"{name}.log", lambda: done.append(name))

    make.done = done
    return make


def test_chains_run_in_order_and_keep_their_output(make_command, tmp_path):
    chains = [
        [make_command("a1", "--version"), make_command("a2", "--help")],
        [make_command("b1", "--version")],
        [],
    ]
    run_side_by_side(chains, at_once=2, folder=ROOT)
    assert sorted(make_command.done) == ["a1", "a2", "b1"]
    assert make_command.done.index("a1") < make_command.done.index("a2")
    assert "pks4_lightning" in (tmp_path / "a1.log").read_text()
    assert "demo-data" in (tmp_path / "a2.log").read_text()


def test_a_failure_shows_its_last_lines_and_ends_the_others(make_command, tmp_path):
    data = tmp_path / "data"
    endless = make_command(
        "endless", "demo-data", "--out", str(data), "--num_train", "1000000", "--num_workers", "0"
    )
    chains = [[make_command("bad", "nonsense"), make_command("next", "--version")], [endless]]
    with pytest.raises(CommandError, match="nonsense") as raised:
        run_side_by_side(chains, at_once=2, folder=ROOT)
    assert "status 2" in str(raised.value)
    assert str(tmp_path / "bad.log") in str(raised.value)
    assert "The command was: pks4 nonsense" in str(raised.value)
    assert make_command.done == []
    num_files = len(list(data.rglob("*")))
    time.sleep(0.3)
    assert len(list(data.rglob("*"))) == num_files


def test_a_command_reads_as_a_person_types_it(make_command):
    command = make_command("a", "fit", "--data.root", "my videos")
    assert str(command) == "pks4 fit --data.root 'my videos'"
