"""A wrong name or path is answered in one sentence with what was probably meant."""

import pytest

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.suggestions import did_you_mean, did_you_mean_path
from tests.conftest import TINY


@pytest.fixture
def here(tmp_path, monkeypatch, trained, motion_set):
    """A folder that holds one thing of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(trained)
    (tmp_path / "gestures").symlink_to(motion_set)
    (tmp_path / "goat.mp4").symlink_to(motion_set / "videos" / "1.webm")
    (tmp_path / "methods").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "my.yaml").write_text(TINY.read_text())
    for name in ("view_scores.npz", "clips.jsonl", "metrics.json"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("rnus/first/checkpoints/best.ckpt", "runs/first/checkpoints/best.ckpt"),
        ("runs/first/checkpoints/bst.ckpt", "runs/first/checkpoints/best.ckpt"),
        ("runs/fist/chekpoints/bset.ckpt", "runs/first/checkpoints/best.ckpt"),
        ("runs/first/best.ckpt", "runs/first/checkpoints/best.ckpt"),
        ("GOAT.mp4", "goat.mp4"),
        ("gestres/unlike", "gestures"),
        ("unlike", None),
        ("unlike/best.ckpt", None),
        ("goat.mp4/unlike", None),
        ("", None),
    ],
)
def test_every_part_of_a_path_is_replaced_by_the_closest(path, meant, here):
    for prefix in ("", f"{here}/"):
        end = did_you_mean_path(prefix + path, "look again")
        assert end == (f"; did you mean {prefix}{meant}?" if meant else "; look again.")


def test_names_in_another_case_are_found_and_a_sentence_always_ends():
    assert did_you_mean("ST_adapter", ["pks4", "st_Adapter"]) == "; did you mean st_Adapter?"
    assert did_you_mean("ssv3", ["ssv1", "k400", "ssv2"], num=2) == "; did you mean ssv2 or ssv1?"
    assert did_you_mean("other", ["pks4"]) == "."


BEST = "runs/first/checkpoints/best.ckpt"
WRONG = "runs/first/checkpoints/bset.ckpt"
FIT = ["fit", "--config", str(TINY), "--data.root", "gestures"]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["fit", "--config", str(TINY), "--data.root", "gestrues"], "gestures"),
        (["fit", "--config", "myy.yaml"], "my.yaml"),
        (["cost", "--config", "myy.yaml"], "my.yaml"),
        ([*FIT, "--data.train", "labels/trian.json"], "gestures/labels/train.json"),
        ([*FIT, "--data.labels", "labels/label.json"], "gestures/labels/labels.json"),
        ([*FIT, "--data.videos", "vidoes"], "gestures/videos"),
        ([*FIT, "--data.train", "clips.jsonl"], "{here}/clips.jsonl"),
        ([*FIT, "--data.manifest", "clps.jsonl"], "clips.jsonl"),
        ([*FIT, "--ckpt_path", WRONG], BEST),
        ([*FIT, "--model.init_from", WRONG], BEST),
        (["cost", "--config", "k400", "--model.classifier.backbone", "./gestrues"], "gestures"),
        (["test", "--ckpt_path", WRONG], BEST),
        (["predict", "--ckpt_path", WRONG, "goat.mp4"], BEST),
        (["predict", "--ckpt_path", BEST, "gota.mp4"], "goat.mp4"),
        (["predict", "--ckpt_path", BEST, "gota.mp4", "goats.mp4"], "goat.mp4"),
        (["predict", "--ckpt_path", BEST, "--window", "1", "gota.mp4"], "goat.mp4"),
        (["stream", "--ckpt_path", BEST, "--source", "gota.mp4"], "goat.mp4"),
        (["features", "--ckpt_path", BEST, "gota.mp4"], "goat.mp4"),
        (["retrieve", "--ckpt_path", WRONG], BEST),
        (["stretch", "--ckpt_path", WRONG], BEST),
        (["cost", "--ckpt_path", WRONG], BEST),
        (["export", "--to", "torch", "--ckpt_path", WRONG, "--out", "new"], BEST),
        (["export-weights", "--ckpt_path", WRONG, "--out", "new"], BEST),
        (["share", "--ckpt_path", WRONG, "--folder", "new"], BEST),
        (["share", "--ckpt_path", BEST, "--folder", "new", "--metrics", "metric.json"],
         "metrics.json"),
        (["rescore", "view_score.npz"], "view_scores.npz"),
        (["compare", "--config", str(TINY), "--data.root", "gestrues"], "gestures"),
        (["compare", "--config", str(TINY), "--data.root", "gestures", "--own", "method"],
         "methods"),
        (["ablate", "--config", str(TINY), "--data.root", "gestrues"], "gestures"),
        (["evidence", "--data.root", "folde"], "folder"),
        (["data", "index", "gestrues"], "gestures"),
        (["data", "check", "gestrues"], "gestures"),
        (["data", "show", "gestrues", "--config", str(TINY)], "gestures"),
        (["data", "split", "gestrues"], "gestures"),
        (["data", "groups", "gestrues", "--label", "(.*)", "--num_groups", "2"], "gestures"),
        (["demo-data", "--out", "new", "--sources", "gestrues"], "gestures"),
    ],
    ids=lambda value: "_".join(value[:2] + value[-1:]).replace("/", ".") if value[1:] else "",
)  # fmt: skip
def test_each_command_suggests_what_a_wrong_path_may_mean(arguments, meant, here, capsys):
    before = set(here.iterdir())
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "error" in each]
    assert f"did you mean {meant.format(here=here)}?" in line
    assert set(here.iterdir()) == before, "nothing is written before a path is checked"


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: pks4_lightning.load(WRONG), BEST),
        (lambda: pks4_lightning.load("run/first"), "runs/first"),
        (lambda: pks4_lightning.load(BEST).predict("gota.mp4"), "goat.mp4"),
        (lambda: pks4_lightning.load(BEST).features("gota.mp4"), "goat.mp4"),
    ],
)
def test_python_does_so_as_well(call, meant, here):
    with pytest.raises((OSError, ValueError), match=rf"; did you mean {meant}\?"):
        call()


def test_a_broken_link_is_not_suggested(tmp_path):
    (tmp_path / "clip.mp4").symlink_to(tmp_path / "gone")
    assert did_you_mean_path(tmp_path / "clip.mp4", "look again") == "; look again."
    (tmp_path / "clip1.mp4").touch()
    found = did_you_mean_path(tmp_path / "clip.mp4")
    assert found == f"; did you mean {tmp_path / 'clip1.mp4'}?"
