"""The programs in examples/ run and give the stated results."""

import json
import runpy
import sys
from pathlib import Path

import pytest

import pks4_lightning
from pks4_lightning.__main__ import main
from tests.conftest import ROOT


@pytest.fixture
def example(monkeypatch):
    """Import an example with its folder on the path, as when it is run, and return its `main`."""
    monkeypatch.syspath_prepend(ROOT / "examples")

    def load(name):
        return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]

    yield load
    sys.modules.pop("demo_videos", None)


def test_a_trained_classifier_is_used_and_exported(example, motion_set, tmp_path):
    assert 0 <= example("train")(tmp_path, motion_set, max_epochs=1) <= 1
    assert example("export")(tmp_path, motion_set) < 1e-4

    # the checkpoint alone tells commands how to prepare clips
    checkpoint = tmp_path / "classifier.ckpt"
    model = pks4_lightning.load(checkpoint, device="cpu")
    assert (model.clip.num_frames, model.clip.frame_size, model.clip.resize) == (8, 48, 48)
    video = next((motion_set / "videos").iterdir())
    given = [f"--ckpt_path={checkpoint}", f"--out={tmp_path / 'labels'}", "--format=jsonl"]
    assert main(["predict", "--data.num_workers=0", *given, str(video)]) == 0
    line = json.loads((tmp_path / "labels" / "predictions.jsonl").read_text())
    expected = [(name, pytest.approx(score, abs=1e-5)) for name, score in model.predict(video)]
    assert [(best["name"], best["score"]) for best in line["best"]] == expected
    assert main(["export-weights", given[0], f"--out={tmp_path / 'published'}"]) == 0
    assert pks4_lightning.load(tmp_path / "published").clip == model.clip


def test_videos_in_a_table(example, motion_set, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    data = example("own_data")(Path("work"), motion_set)  # a relative folder, as the README says
    assert data.label_names == ["first", "second", "third"]
    assert "(6, 3, 4, 32, 32)" in capsys.readouterr().out


def test_a_custom_module_trains(example, motion_set):
    losses = example("own_module")(motion_set, num_steps=4)
    assert losses[0] != losses[-1]


def test_a_stream_predicts_like_the_whole_clip(example, motion_set):
    assert example("streaming")(motion_set) < 1e-5


def test_every_example_is_listed_and_tested():
    programs = {path.stem for path in (ROOT / "examples").glob("*.py")} - {"demo_videos"}
    tested = {"train", "export", "own_data", "own_module", "streaming"}
    listed = (ROOT / "examples" / "README.md").read_text()
    assert programs == tested
    assert all(f"({name}.py)" in listed for name in programs)
