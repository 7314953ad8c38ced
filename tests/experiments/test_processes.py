"""Parallel commands: order, failure, locks."""

import fcntl

import pytest

from pks4_lightning.experiments.processes import Chain, Command, CommandError, run_side_by_side


@pytest.fixture
def make_chain(tmp_path):
    """Build chains of named commands; ``done`` contains the names of finished chains."""
    done = []

    def make(name, *commands):
        return Chain(
            tuple(
                Command(f"{name}{number}", arguments, tmp_path / f"{name}{number}.log")
                for number, arguments in enumerate(commands, start=1)
            ),
            on_success=lambda: done.append(name),
            lock=tmp_path / name / "running.lock",
        )

    make.done = done
    return make


def test_chains_run_in_order_and_keep_their_output(make_chain, tmp_path):
    chains = [make_chain("a", ("--version",), ("--help",)), make_chain("b", ("--version",))]
    run_side_by_side(chains, jobs=2)
    assert sorted(make_chain.done) == ["a", "b"]
    assert "pks4_lightning" in (tmp_path / "a1.log").read_text()
    assert "demo-data" in (tmp_path / "a2.log").read_text()


def test_a_failure_shows_its_last_lines_and_ends_the_others(make_chain, tmp_path):
    data = tmp_path / "data"
    endless = ("demo-data", "--out", str(data), "--num_train", "1000000", "--jobs", "0")
    chains = [make_chain("bad", ("nonsense",), ("--version",)), make_chain("endless", endless)]
    with pytest.raises(CommandError, match="nonsense") as raised:
        run_side_by_side(chains, jobs=2)
    assert "bad1 ended with status 2" in str(raised.value)
    assert str(tmp_path / "bad1.log") in str(raised.value)
    assert "The command was: pks4 nonsense" in str(raised.value)
    assert make_chain.done == []
    assert not (tmp_path / "bad2.log").exists()
    assert (tmp_path / "endless1.log").exists()
    with chains[1].lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free once the process has ended


def test_a_running_command_is_not_started_again(make_chain, tmp_path):
    chain = make_chain("a", ("--version",))
    chain.lock.parent.mkdir()
    with chain.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            CommandError, match="a1, started by an earlier command, is still running"
        ):
            run_side_by_side([chain], jobs=1)
    assert not (tmp_path / "a1.log").exists()


def test_a_command_is_printed_as_it_would_be_typed(tmp_path):
    command = Command("a", ("fit", "--data.root", "my videos"), tmp_path / "log")
    assert str(command) == "pks4 fit --data.root 'my videos'"
