"""Two processes on one machine, connected by gloo as by `torchrun` or Lightning's launchers."""

import os
import socket
import subprocess
import sys

from tests.conftest import ROOT

TWO = ["--trainer.devices=2", "--trainer.num_nodes=1"]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pks4_on_two_ranks(args, cwd):
    """Run one ``pks4`` command as two ranks, and return their outputs."""
    return on_two_ranks(["-m", "pks4_lightning", *args], cwd)


def on_two_ranks(python_args, cwd):
    """Run Python as two ranks, like a cluster's launcher, and return their outputs."""
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "TORCHELASTIC_RUN_ID": "test",
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
    }
    command = [sys.executable, *python_args]
    ranks = [
        subprocess.Popen(
            command,
            cwd=cwd,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=200)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(outputs)
    return outputs
