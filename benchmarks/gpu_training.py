"""Training on a GPU through the command line: `python benchmarks/gpu_training.py` (minutes).

Trains on a small demo set in float16, in bfloat16 and sharded by FSDP; then kills and resumes a
training with deterministic kernels, which must end with the same weights, bit for bit. Exits with
status 1 if one of them fails. Without a GPU only the resume test runs.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from machine import arguments, write_rows

PKS4 = [sys.executable, "-m", "pks4_lightning"]
# cuBLAS is deterministic only with this setting
ENVIRONMENT = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def main() -> int:
    parser = arguments("Precisions, sharding and exact resume on a GPU, through the command line.")
    parser.add_argument("--videos", type=int, default=240, help="size of the training set")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    rows: dict[str, Any] = {"device": "cuda" if on_gpu else "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        counts = (f"--num_train={options.videos}", "--num_val=16", "--num_test=16")
        subprocess.run([*PKS4, "demo-data", "--out", here / "data", *counts], check=True)
        fit = [
            *(*PKS4, "fit", "--config", "demo/pks4", f"--data.root={here / 'data'}"),
            f"--trainer.accelerator={'gpu' if on_gpu else 'cpu'}",
            f"--trainer.max_epochs={options.epochs}",
        ]
        if on_gpu:
            rows["float16"] = trains(fit, here / "float16", "--trainer.precision=16-mixed")
            rows["bfloat16"] = trains(fit, here / "bfloat16", "--trainer.precision=bf16-mixed")
            rows["FSDP"] = trains(fit, here / "fsdp", "--trainer.strategy=fsdp")
        rows["exact resume"] = resumes_exactly(fit, here)
    for name, outcome in rows.items():
        print(f"{name}: {outcome}")
    write_rows(options.json, rows)
    return int(False in rows.values())


def trains(fit: Sequence[object], folder: Path, *settings: str) -> bool:
    """Train to the end; return whether the command succeeded."""
    command = [*fit, f"--trainer.default_root_dir={folder}", *settings]
    return subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0


def resumes_exactly(fit: Sequence[object], folder: Path) -> bool:
    """Kill a training after its first checkpoint, resume it, compare with an uninterrupted one."""
    exactly = ("--trainer.deterministic=true", "--last_checkpoint.every_n_train_steps=3")
    whole, killed = folder / "whole", folder / "killed"
    if not trains(fit, whole, *exactly):
        return False
    first = subprocess.Popen(
        [*fit, f"--trainer.default_root_dir={killed}", *exactly], env=ENVIRONMENT
    )
    last = killed / "checkpoints/last.ckpt"
    while not last.is_file():
        if first.poll() is not None:
            return False
        time.sleep(0.05)
    first.kill()
    if first.wait() == 0:
        raise RuntimeError("The training ended before it could be killed: use more --videos.")
    again = [*PKS4, "fit", "--ckpt_path", last]
    if subprocess.run(again, env=ENVIRONMENT, check=False).returncode != 0:
        return False
    ends = [
        torch.load(run / "checkpoints/last.ckpt", map_location="cpu", weights_only=False)
        for run in (whole, killed)
    ]
    one, other = (end["state_dict"] for end in ends)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


if __name__ == "__main__":
    sys.exit(main())
