"""The README's three commands for the user's own videos, without a network or a GPU."""

import csv
import json
import re
import shlex
import shutil

import pytest

from pks4_lightning.__main__ import main
from tests.conftest import ROOT

SECTION = (ROOT / "README.md").read_text().partition("### Your own videos")[2]
LINES = re.search(r"```\n(.*?)```", SECTION, re.DOTALL)[1].splitlines()


@pytest.fixture
def folders(motion_set, tmp_path):
    """A folder per class with four videos each, not split into training and test."""
    numbered = json.loads((motion_set / "labels" / "train.json").read_text())
    numbered += json.loads((motion_set / "labels" / "validation.json").read_text())
    numbered += json.loads((motion_set / "labels" / "test.json").read_text())
    for entry in numbered:
        name = entry["template"].replace("[", "").replace("]", "")
        folder = tmp_path / "videos" / name
        folder.mkdir(parents=True, exist_ok=True)
        video = motion_set / "videos" / f"{entry['id']}.webm"
        shutil.copy(video, folder)
    return tmp_path / "videos"


def test_three_lines_train_and_label(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new = next(folders.glob("*/*.webm"))
    for line in LINES:
        places = {"/my/videos": str(folders), "/my/new/videos": str(new)}
        words = shlex.split(line, comments=True)[1:]
        arguments = [places.get(word, word) for word in words]
        if arguments[0] == "fit":
            arguments[arguments.index("--model.classifier.num_classes") + 1] = "8"
            arguments += ["--trainer.max_epochs=1", "--data.num_workers=0"]
        if arguments[0] == "predict":
            arguments.append("--data.num_workers=0")
        assert main(arguments) == 0, arguments
    assert [line.split()[1] for line in LINES] == ["data", "fit", "predict"]
    for command in ("check", "show"):  # with the tower's own size and mean, as in training
        look = ["data", command, str(folders), "--config", "first_look", "--out", f"{command}.png"]
        assert main(look) == 0
    with (tmp_path / "runs/first_look/predict/predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["top1"] in {path.name for path in folders.iterdir() if path.is_dir()}
