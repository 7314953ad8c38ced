"""A training's record of its time and memory."""

import json
import shutil

import torch

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.training.callbacks.run_cost import peak_memory_mib


def cost_of(folder):
    return json.loads((folder / "checkpoints" / "cost.json").read_text())


def test_a_training_records_its_time_and_memory(trained):
    cost = cost_of(trained)
    assert cost["epochs"] == 2
    assert cost["seconds"] > 0
    # torch alone uses more
    assert 50 < cost["peak_memory_mb"] <= peak_memory_mib(torch.device("cpu")) + 1


def test_a_continued_training_adds_up_its_sessions(trained, tiny_args, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = {**cost_of(folder), "seconds": 1000.0, "peak_memory_mb": 1e9}
    (folder / "checkpoints" / "cost.json").write_text(json.dumps(before))
    run_cli(
        [
            *(
                "fit",
                *tiny_args,
                "--ckpt_path=auto",
                "--trainer.max_epochs=3",
                "--allow_changes=true",
            ),
            f"--trainer.default_root_dir={folder}",
        ]
    )
    cost = cost_of(folder)
    assert cost["epochs"] == 3
    assert 1000 < cost["seconds"] < 1600
    assert cost["peak_memory_mb"] == 1e9
