"""Shared fixtures: a tiny data set in SSV2's format, and a finished tiny training."""

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
    """Use one thread (tests run in parallel), and hide pytest's arguments."""
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["pks4"])
    ours = logging.getLogger("pks4_lightning")
    level = ours.level
    yield
    ours.setLevel(level)  # commands set the level


@pytest.fixture(scope="session")
def motion_set(tmp_path_factory):
    """A data set in SSV2's layout: 16 training, 8 validation and 11 test videos of 8 classes."""
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
    """Arguments of a minimal complete training, to which a test adds its own folder."""
    return ["--config", str(TINY), "--data.root", str(motion_set)]


@pytest.fixture(scope="session")
def trained(tiny_args, tmp_path_factory):
    """The folder of a finished tiny training. Read it; do not write into it."""
    from pks4_lightning.cli.lightning_cli import run_cli

    folder = tmp_path_factory.mktemp("trained")
    run_cli(["fit", *tiny_args, f"--trainer.default_root_dir={folder}"])
    return folder
