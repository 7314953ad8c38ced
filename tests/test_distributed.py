"""Two processes on one machine, connected by gloo, as `torchrun` or Lightning's launchers do it."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pks4_on_two_ranks(args, cwd):
    """Run one command as two ranks, the way a cluster's launcher does; return their outputs."""
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
    command = [sys.executable, "-m", "pks4_lightning", *args]
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


TWO = ["--trainer.devices=2", "--trainer.num_nodes=1"]


def predictions(folder):
    with (folder / "test" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_ddp_trains_as_one_process_with_the_same_videos_per_step(tiny_args, tmp_path):
    folder = tmp_path / "run"
    outputs = pks4_on_two_ranks(
        [
            "fit",
            *tiny_args,
            f"--trainer.default_root_dir={folder}",
            "--trainer.strategy=ddp",
            *TWO,
        ],
        tmp_path,
    )
    assert "What this run resolved to" in outputs[0]
    assert "What this run resolved to" not in outputs[1], "said once"
    resolved = (folder / "checkpoints" / "resolved.yaml").read_text()
    assert "ranks: 2" in resolved
    assert "accumulation: 1" in resolved, "2 ranks × 4 videos make the reference batch of 8"
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(t.isfinite().all() for t in saved["state_dict"].values() if t.is_floating_point())


def test_ddp_counts_every_test_video_once(trained, tmp_path):
    """11 videos on two ranks: one rank gets a filler that must not be counted."""
    checkpoint = trained / "checkpoints" / "best.ckpt"
    args = ["test", f"--ckpt_path={checkpoint}", "--data.num_clips=2", "--data.test_batch_size=2"]
    pks4_on_two_ranks(
        [*args, f"--trainer.default_root_dir={tmp_path / 'two'}", "--trainer.strategy=ddp", *TWO],
        tmp_path,
    )
    subprocess.run(
        [
            sys.executable,
            *("-m", "pks4_lightning"),
            *args,
            f"--trainer.default_root_dir={tmp_path / 'one'}",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    one, two = predictions(tmp_path / "one"), predictions(tmp_path / "two")
    assert len(two) == 11
    for ours, theirs in zip(two, one, strict=True):
        assert (ours["video_path"], ours["label"], ours["top1"]) == (
            theirs["video_path"],
            theirs["label"],
            theirs["top1"],
        )
        assert float(ours["score1"]) == pytest.approx(float(theirs["score1"]), abs=2e-6)
    metrics = [json.loads((tmp_path / n / "test/metrics.json").read_text()) for n in ("one", "two")]
    assert metrics[0] == metrics[1]
    assert metrics[0]["num_videos"] == 11


def test_sharded_model_trains(tiny_args, tmp_path):
    """FSDP2 by `ModelParallelStrategy`: parameters are sharded over the two ranks."""
    folder = tmp_path / "run"
    pks4_on_two_ranks(
        [
            "fit",
            *tiny_args,
            f"--trainer.default_root_dir={folder}",
            "--trainer.strategy=lightning.pytorch.strategies.ModelParallelStrategy",
            "--trainer.strategy.save_distributed_checkpoint=false",
            "--trainer.max_epochs=1",
            *TWO,
        ],
        tmp_path,
    )
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["classifier.pks4.scanner.A_log"].shape == (32, 4)
