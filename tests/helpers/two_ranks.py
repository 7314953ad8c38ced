"""Two processes on one machine, connected by gloo as by `torchrun` or Lightning's launchers."""

import multiprocessing
import os
import runpy
import socket
import sys

from tests.conftest import ROOT

TWO = ["--trainer.devices=2", "--trainer.num_nodes=1"]

# Ranks are forked from a process that has imported the package once: the imports take longer than
# the work of a tiny model.
_RANKS = multiprocessing.get_context("forkserver")
_RANKS.set_forkserver_preload(["pks4_lightning.cli.lightning_cli"])


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pks4_on_two_ranks(args, cwd):
    """Run one command as two ranks; return their outputs."""
    return on_two_ranks(None, args, cwd)


def on_two_ranks(script, args, cwd):
    """Run a script, or `pks4` for None, as two ranks, as a cluster's launcher does.

    Returns:
        What each rank printed.
    """
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "TORCHELASTIC_RUN_ID": "test",
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
    }
    logs = [cwd / f"rank{rank}_{common['MASTER_PORT']}.log" for rank in range(2)]
    ranks = [
        _RANKS.Process(
            target=_run,
            args=(script, args, cwd, log, {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}),
        )
        for rank, log in enumerate(logs)
    ]
    try:
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join(timeout=200)
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()
    outputs = [log.read_text() for log in logs]
    assert [rank.exitcode for rank in ranks] == [0, 0], "\n".join(outputs)
    return outputs


def _run(script, args, cwd, log, environment):
    """Run in the new process, with its output in a file."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.path.insert(0, str(ROOT))
    sys.argv = [str(script or "pks4"), *map(str, args)]
    if script is None:
        from pks4_lightning.__main__ import main

        sys.exit(main(sys.argv[1:]))
    runpy.run_path(str(script), run_name="__main__")
