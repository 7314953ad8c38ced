"""The arms and tasks of the bench on real clips."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.cli.settings import resolve
from pks4_lightning.experiments.evidence import TASKS, arm_keys, evidence_arms, evidence_clips
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.training.learning.recipe import Recipe
from pks4_lightning.training.learning.tokens import check_tokens

TINY_TOWER = (
    *("--model.classifier.backbone", "pks4_lightning/demo/tiny_clip/weights"),
    *("--model.classifier.insert_after", "2", "--model.classifier.route_from", "3"),
    *("--data.frame_size", "48", "--data.resize", "48", "--trainer.max_steps", "2"),
    *("--data.pool.num_views", "2", "--data.batch_size", "4", "--trainer.accelerator", "cpu"),
)


def settings_of(arm, task):
    return resolve(["--config", "egogestar", *TASKS[task].arguments, *arm.arguments])


@pytest.mark.parametrize("task", TASKS)
def test_every_arm_is_a_training_of_its_own_on_the_same_tokens(task):
    seen = {}
    for key, arm in zip(arm_keys(), evidence_arms(arm_keys()), strict=True):
        settings = settings_of(arm, task)
        model = settings.pop("model")
        config = PKS4Config(**model["classifier"])
        check_tokens(Recipe(**model["recipe"]), config, is_sharded=False)
        assert config.num_classes == len(TASKS[task].classes)
        assert (config.insert_after, config.grid_size) == (8, None)
        assert seen.setdefault("shared", (settings, model["recipe"])) == (settings, model["recipe"])
        assert config not in seen.values()
        seen[key] = config


def test_the_first_arm_is_the_model_as_it_is():
    (full,) = evidence_arms(["full"])
    assert full.arguments == ()
    assert arm_keys()[0] == "full"
    assert evidence_arms(["average", "full"])[0] == full


@pytest.fixture
def gestures(motion_set, tmp_path):
    """A folder of moving shapes under the names of gestures, each class in three scenes."""
    classes = TASKS["directions"].classes
    videos = [
        shutil.copy(video, tmp_path)
        for video in sorted((motion_set / "videos").glob("*.webm"))[:24]
    ]
    with (tmp_path / "index.csv").open("w", newline="") as file:
        lines = [
            (Path(v).name, classes[i % 4], f"scene {i // 4 % 3}") for i, v in enumerate(videos)
        ]
        csv.writer(file).writerows([("path", "label", "group"), *lines])
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "half"], "There is no arm 'half'; the arms are full, ks4, average"),
        (["--folds", "4"], "3 groups do not make 4 folds"),
        (["--task", "gestures"], "lists no clip of the class 'carret'"),
        (["--data.train", "other.csv"], "There is no table of clips"),
        (["--folds", "2", "--show"], "has no fold that all rows have finished"),
    ],
)
def test_what_makes_no_table_is_said_in_one_sentence(gestures, capsys, arguments, message):
    out = gestures / "out"
    command = ["evidence", "--data.root", str(gestures), "--out", str(out), *arguments]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(out.glob("*/seed*"))


def test_a_class_that_a_fold_would_lack_is_refused(gestures):
    clips = evidence_clips(gestures / "index.csv", TASKS["directions"])
    assert {clip.label for clip in clips} == set(TASKS["directions"].classes)
    assert len(clips) == 24


@pytest.mark.timeout(600)
def test_a_table_a_picture_and_every_answer_come_out_and_nothing_is_done_twice(gestures, capsys):
    out = gestures / "out"
    command = [
        *("evidence", "--data.root", str(gestures), *TINY_TOWER, "--arms", "average"),
        *("--out", str(out), "--folds", "2", "--jobs", "2"),
    ]
    assert main(command) == 0
    first = {file: file.stat().st_mtime_ns for file in out.glob("*/seed0_fold*/checkpoints/*.ckpt")}
    assert main(command) == 0
    assert first == {file: file.stat().st_mtime_ns for file in first}
    ((title, rows),) = json.loads((out / "comparison.json").read_text()).items()
    assert title == "directions, 8 frames"
    ((row, num_clips),) = [(row["row"], row["clips"]) for row in rows]
    assert (row, num_clips) == ("frame averaging", 24)
    assert (out / "comparison.png").stat().st_size > 5_000
    assert len(list((out / "tokens").iterdir())) == 1, "one store for both folds"
    with (out / "answers.csv").open(newline="") as file:
        right = [line["label"] == line["top1"] for line in csv.DictReader(file)]
    assert rows[0]["top1"] == pytest.approx(sum(right) / 24)
    assert f"{100 * rows[0]['top1']:.1f}" in capsys.readouterr().out

    shutil.rmtree(next(out.glob("*/seed0_fold2")))
    assert main([*command, "--show"]) == 0
    ((_, (row,)),) = json.loads((out / "comparison.json").read_text()).items()
    with (out / "folds.csv").open(newline="") as file:
        assert row["clips"] == sum(line["fold"] == "1" for line in csv.DictReader(file)) < 24
