"""What the tests of several parts share: a tiny data set in SSV2's format, and the command line."""

import logging
import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

ROOT = Path(__file__).parent.parent
TINY = ROOT / "tests" / "configs" / "tiny.yaml"


@pytest.fixture(autouse=True)
def _plain_process(monkeypatch):
    """One thread (two cores are shared by all tests), no arguments of pytest's own."""
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["pks4"])
    ours = logging.getLogger("pks4_lightning")
    level = ours.level
    yield
    ours.setLevel(level)  # commands choose how much they say


@pytest.fixture(scope="session")
def motion_set(tmp_path_factory):
    """A folder in SSV2's layout: 16 training, 8 validation and 11 test videos of 8 classes."""
    from pks4_lightning.demo.motion.dataset import generate_motion_dataset

    return generate_motion_dataset(
        tmp_path_factory.mktemp("motion") / "data",
        num_train=16,
        num_val=8,
        num_test=11,
        num_workers=0,
    )


@pytest.fixture(scope="session")
def tiny_args(motion_set):
    """Arguments of the smallest complete training; a test adds its own folder."""
    return ["--config", str(TINY), "--data.root", str(motion_set)]


@pytest.fixture(scope="session")
def trained(tiny_args, tmp_path_factory):
    """The folder of a finished tiny training. Read it; do not write into it."""
    from pks4_lightning.cli.lightning_cli import run_cli

    folder = tmp_path_factory.mktemp("trained")
    run_cli(["fit", *tiny_args, f"--trainer.default_root_dir={folder}"])
    return folder
