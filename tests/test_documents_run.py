"""Every shell command in the README and docs runs, page by page, in the order of the page.

The documents' folders are stand-ins that hold the demo's videos, and all towers are one tiny tower.
What a command would do for hours is cut short by settings added at its end; the rest is as
documented. A command that cannot run here says in its document what it needs, such as a network.
"""

import shlex
import shutil
import subprocess
import sys

import pytest

from pks4_lightning.__main__ import COMMANDS, main
from tests.conftest import ROOT
from tests.helpers.documented_world import CLASSES, TRAINING, build_world, write_tower
from tests.helpers.documents import commands_of, documents

PAGES = [page for page in documents() if commands_of(page)]
RUN_BY_OTHERS = ("make demo", "make test")
NEED_WHAT_THEIR_NAMES_SAY = ("docker ", "git clone ", "pip install ")
IN_PROCESS = "--data.num_workers=0"


def is_run(command):
    return command.words.startswith(("pks4 ", "python ")) and not command.needs


def test_every_command_is_run_or_says_what_it_needs():
    for page in PAGES:
        for command in commands_of(page):
            excused = command.needs or command.words.startswith(
                (*RUN_BY_OTHERS, *NEED_WHAT_THEIR_NAMES_SAY)
            )
            assert is_run(command) or excused, f"{command.page}: {command.line}"


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    return write_tower(tmp_path_factory.mktemp("tower"))


@pytest.fixture(scope="module")
def world(motion_set, tower, tmp_path_factory):
    """Copy it; do not write into it."""
    return build_world(tmp_path_factory.mktemp("world"), motion_set, tower)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run(page, world, tower, tmp_path, monkeypatch, capfd):
    root = tmp_path / "world"
    shutil.copytree(world, root)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    for command in filter(is_run, commands_of(page)):
        words = shlex.split(command.words, comments=True)
        words = words[: words.index(">")] if ">" in words else words
        words = [
            f"{root}{word}" if word.startswith(("/data/", "/my/", "/scratch/")) else word
            for word in words
        ]
        if words[0] == "python":
            ran = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
            assert ran.returncode == 0, f"{command.line}: {ran.stderr}"
            continue
        name = next(name for name in COMMANDS if name.split() == words[1 : 1 + len(name.split())])
        if name == "fit" and "--ckpt_path" not in words:  # a new start
            shutil.rmtree(root / "runs")
        if name in ("data split", "data groups"):
            for folder in (root / "my" / "videos", root / "EgoGestAR" / "testvideo"):
                for table in folder.glob("*.csv"):
                    table.unlink()
        monkeypatch.setenv("PKS4_ALLOW_IMPORTS", command.variables.get("PKS4_ALLOW_IMPORTS", ""))
        status = main([*words[1:], *shortened(name, words, tower)])
        assert status == 0, f"{command.line}: {capfd.readouterr().err}"
        for run in (world / "runs").iterdir():  # what other pages have trained
            if not (root / "runs" / run.name).exists():
                shutil.copytree(run, root / "runs" / run.name)


def shortened(command, words, tower):
    """Return what is added to a command: the tiny tower, few videos, one step, one seed."""
    line = " ".join(words)
    backbone = f"--model.classifier.backbone={tower}"
    match command:
        case "fit" if "--ckpt_path" in words and "--config" not in words:
            return TRAINING  # the rest is in the checkpoint
        case "fit" if "/data/matches" in line:
            return [*TRAINING, backbone]
        case "fit" if "first_look" in words:  # has its own tiny tower
            return [*TRAINING, *CLASSES]
        case "fit" if "peers/videomamba" in line:
            smallest = "--model.classifier.network=videomamba_ti"
            shortest = [] if "flexible" not in line else ["--data.flexible.num_frames=[4]"]
            begins_random = "--model.classifier.pretrained=false"
            return [*TRAINING, *CLASSES, smallest, *shortest, begins_random]
        case "fit":
            return [*TRAINING, *CLASSES, backbone]
        case "test":
            return [IN_PROCESS, "--trainer.accelerator=cpu", "--trainer.limit_test_batches=1"]
        case "stretch" if "videomamba" in line:
            return [IN_PROCESS, "--frames", "4", "--resolutions", "112"]
        case "stretch":  # the videos have 24 frames
            return [IN_PROCESS, "--frames", "8", "24", "--resolutions", "112"]
        case "predict" | "features" | "retrieve":
            return [IN_PROCESS]
        case "data check" | "data show" if "ssv2" in words:
            return CLASSES
        case "demo":
            few = [f"--num_{split}=8" for split in ("train", "val", "test")]
            return [*few, "--seeds", "0", "--epochs=1"]
        case "demo-data":
            return ["--num_train=8", "--num_test=4", "--jobs=0"]
        case "evidence":
            folds = [] if "motion" in words else ["--folds=2"]
            return [*TRAINING, backbone, *folds, "--seeds", "0", "--arms", "average"]
        case "compare" if "--folds" in words:
            return [*TRAINING, backbone, "--folds=2", "--models", "frame_average"]
        case "data groups" if "--classes" in words:  # the stand-in has few clips of each class
            return ["--num_groups", "5"]
        case "ablate" if "--folds" in words:
            few = ["--folds=2", "--table", "6", "--seeds", "0", "--rates", "1e-3"]
            return [*TRAINING, CLASSES[0], *few]
        case "compare" | "ablate" if "--config" in words:
            return ["--print", backbone]
        case "compare" | "ablate":  # the trainings themselves: test_compare.py, test_ablate.py
            return ["--print", "--data.root", "data/ssv2"]
    return []
