"""Arms and tasks of the bench of real clips."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.cli.settings import resolve
from pks4_lightning.demo.cutouts.dataset import generate_cutout_dataset
from pks4_lightning.demo.cutouts.settings import ONE_MOTION, TWO_MOTIONS, CutoutSettings
from pks4_lightning.experiments.ablations import READINGS
from pks4_lightning.experiments.comparison import compare
from pks4_lightning.experiments.evidence.amplitudes import amplitude_table, by_amplitude
from pks4_lightning.experiments.evidence.arms import arm_keys, evidence_arms
from pks4_lightning.experiments.evidence.probes import PROBES
from pks4_lightning.experiments.evidence.report import report, report_tables
from pks4_lightning.experiments.evidence.tasks import TASKS, evidence_clips
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.experiments.results import read_results
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.saved_reading import FIRST_READING
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
def test_every_arm_is_a_separate_training_on_the_same_tokens(task):
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


@pytest.mark.parametrize(("task", "made"), [("motion", ONE_MOTION), ("order", TWO_MOTIONS)])
def test_a_task_of_generated_clips_has_their_classes_and_frames(task, made):
    assert TASKS[task].classes == tuple(sorted(made.labels))
    data = resolve(["--config", "egogestar", *TASKS[task].arguments])["data"]
    assert data["pool"]["num_frames"] == made.num_frames
    pairs = {frozenset(pair) for pair in data["augmentation"]["reverse_label_pairs"]}
    assert pairs == {frozenset(pair.names) for pair in made.pairs}


def test_the_first_arm_is_the_unchanged_model():
    (full,) = evidence_arms(["full"])
    assert full.arguments == ()
    assert arm_keys()[0] == "full"
    assert evidence_arms(["average", "full"])[0] == full


def config_of(key):
    (arm,) = evidence_arms([key])
    return PKS4Config(**settings_of(arm, "directions")["model"]["classifier"])


@pytest.mark.parametrize(
    ("key", "alone"),
    [("full", "priors"), ("unscaled", "priors_unscaled"), ("no_route", "priors_no_route")],
)
def test_an_arm_differs_from_its_priors_alone_only_in_the_scan(key, alone):
    assert dataclasses.replace(config_of(alone), scanner="mamba") == config_of(key)


@pytest.mark.parametrize(
    ("key", "begins"),
    [
        *(("single", "R1 scan added to"), ("literal", "R1 both residuals")),
        *(("unscaled", "R2 priors start at PyTorch"), ("zero", "R2 priors start at zero")),
        *(
            ("steps", "R3"),
            ("priors", "Priors without"),
            ("gru", "GRU"),
            ("attention", "Attention"),
        ),
    ],
)
def test_an_arm_that_is_a_reading_has_its_settings(key, begins):
    (settings,) = (reading for name, reading in READINGS.items() if name.startswith(begins))
    changes = {name.removeprefix("classifier."): value for name, value in settings.items()}
    assert dataclasses.replace(config_of("full"), **changes) == config_of(key)


def test_one_arm_has_the_first_reading():
    assert dataclasses.replace(config_of("full"), **FIRST_READING) == config_of("single")


@pytest.fixture
def gestures(motion_set, tmp_path):
    """A folder of moving shapes named as gestures, each class in three scenes."""
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
        (["--folds", "4"], "3 groups are too few for 4 folds"),
        (["--task", "gestures"], "lists no clip of the class 'carret'"),
        (["--data.train", "other.csv"], "There is no table of clips"),
        (["--folds", "2", "--show"], "has no fold yet that all rows have finished"),
        (["--arms"], "--arms names none: name one"),
        (["--table", "3"], "Table 3 is not an ablation"),
        (["--task", "motion"], "There is no table of clips"),
        (["--task", "motion", "--data.train", "index.csv"], "no clip of the split 'train'"),
        (["--task", "motion", "--folds", "5"], "--folds (5) applies to gestures"),
    ],
)
def test_user_errors_are_one_sentence(gestures, capsys, arguments, message):
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


def test_probes_alone_train_nothing(gestures, capsys):
    out = gestures / "out"
    command = ["evidence", "--data.root", str(gestures), *TINY_TOWER, "--out", str(out)]
    assert main([*command, "--folds", "2", "--probes", "--arms"]) == 0
    ((title, rows),) = json.loads((out / "comparison.json").read_text()).items()
    assert title == "directions, 8 frames"
    assert [(row["row"], row["clips"]) for row in rows] == [(name, 24) for name in PROBES]
    assert_right(rows, out / "probes.csv")
    assert f"{100 * rows[0]['top1']:.1f}" in capsys.readouterr().out
    assert not list(out.glob("*/seed*"))


def test_a_missing_clip_is_a_wrong_answer_of_the_probes(gestures):
    with (gestures / "index.csv").open(newline="") as file:
        missing = [line["path"] for line in csv.DictReader(file)][7]
    (gestures / missing).unlink()
    out = gestures / "out"
    command = ["evidence", "--data.root", str(gestures), *TINY_TOWER, "--out", str(out)]
    command += ["--data.allow_missing", "0.1", "--folds", "2", "--probes", "--arms"]
    assert main(command) == 0
    (rows,) = json.loads((out / "comparison.json").read_text()).values()
    assert [(row["row"], row["clips"]) for row in rows] == [(name, 24) for name in PROBES]
    assert_right(rows, out / "probes.csv")
    with (out / "probes.csv").open(newline="") as file:
        unanswered = [line["path"] for line in csv.DictReader(file) if not line["top1"]]
    assert unanswered == [missing] * len(PROBES)


@pytest.mark.slow  # test_cross_validation.py tests the same runner
@pytest.mark.timeout(600)
def test_evidence_writes_table_figure_and_answers_and_repeats_nothing(gestures, capsys):
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
    assert not (out / "priors.png").exists(), "frame averaging has none"
    assert len(list((out / "tokens").iterdir())) == 1, "one store for both folds"
    with (out / "answers.csv").open(newline="") as file:
        right = [line["label"] == line["frame averaging, seed 0"] for line in csv.DictReader(file)]
    assert rows[0]["top1"] == pytest.approx(sum(right) / 24)
    assert f"{100 * rows[0]['top1']:.1f}" in capsys.readouterr().out

    shutil.rmtree(next(out.glob("*/seed0_fold2")))
    assert main([*command, "--show", "--probes"]) == 0
    ((_, rows),) = json.loads((out / "comparison.json").read_text()).items()
    assert [row["row"] for row in rows[1:]] == list(PROBES)
    with (out / "folds.csv").open(newline="") as file:
        first_fold = sum(line["fold"] == "1" for line in csv.DictReader(file))
    assert {row["clips"] for row in rows} == {first_fold}
    assert first_fold < 24
    assert_right(rows[1:], out / "probes.csv")


def assert_the_best_rates_are_used(out):
    """Assert that each arm was trained with the rate that was best on held-out clips."""
    inner = read_results(out / "rates" / "results.csv")
    for result in read_results(out / "results.csv"):
        first, second = (each for each in inner if each.row.startswith(f"{result.row}, base_lr"))
        assert first.config_hash != second.config_hash
        best = second if second.top1 > first.top1 else first
        assert result.config_hash == best.config_hash


def assert_right(rows, answers):
    """Assert that the rows' accuracies equal those of the predictions in a file."""
    with answers.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for row in rows:
        right = [each["label"] == each["top1"] for each in lines if each["row"] == row["row"]]
        assert len(right) == row["clips"]
        assert row["top1"] == pytest.approx(sum(right) / len(right))


def test_accuracy_is_reported_by_amplitude():
    clips = [
        GroupedClip(f"{n}.webm", "left", f"scene {n // 2}", amplitude="6" if n < 4 else "12")
        for n in range(8)
    ]
    right = {"arm": np.array([[1, 0, 0, 0, 1, 1, 1, 0], [1, 1, 0, 0, 1, 1, 1, 1]], dtype=bool)}
    tables = by_amplitude(right, clips)
    assert {amplitude: table[0]["top1"] for amplitude, table in tables.items()} == {
        6: 3 / 8,
        12: 7 / 8,
    }
    assert [table[0]["clips"] for table in tables.values()] == [4, 4]
    assert [str(column.header) for column in amplitude_table(tables).columns[1:]] == [
        "6 px",
        "12 px",
    ]


def test_a_report_counts_the_directions_of_a_scene_as_one_observation():
    clips = [GroupedClip(f"{n}.webm", "left", f"{n // 2}", amplitude="6") for n in range(8)]
    right = {"arm": np.repeat([[True, False, True, True]], 2, axis=1)}
    found = report(right, clips, title="bench", chance=0.25)
    (row,) = found.rows["bench"]
    assert list(found.rows) == ["bench", "bench, 6 px"]
    assert row == found.rows["bench, 6 px"][0] == compare(right, [clip.group for clip in clips])[0]
    (of_clips,) = compare(right)
    assert row["top1_low"] < of_clips["top1_low"]
    assert len(found.tables) == 2
    assert list(found.figures) == ["comparison", "amplitudes"]

    unnamed = [dataclasses.replace(clip, amplitude="") for clip in clips]
    found = report(right, unnamed, title="bench", chance=0.25)
    assert found.rows == {"bench": [of_clips]}
    assert list(found.figures) == ["comparison"]


def test_each_table_of_the_paper_is_reported_by_itself():
    clips = [GroupedClip(f"{n}.webm", "left", f"{n}", amplitude="6") for n in range(4)]
    of_arms = {"full": np.array([[1, 1, 1, 0]], dtype=bool)}
    of_table = {"0": np.array([[1, 0, 0, 0]], dtype=bool), "2": of_arms["full"]}
    found = report_tables({0: of_arms, 8: of_table}, clips, title="bench", chance=0.25)
    top1 = {title: [row["top1"] for row in rows] for title, rows in found.rows.items()}
    eighth = {"bench, Table 8": [0.25, 0.75], "bench, Table 8, 6 px": [0.25, 0.75]}
    assert top1 == {"bench": [0.75], "bench, 6 px": [0.75], **eighth}
    names = ["comparison", "amplitudes", "comparison_table_8", "amplitudes_table_8"]
    assert list(found.figures) == names
    assert found.figures["comparison_table_8"] is not found.figures["comparison"]
    assert str(found.tables[2].title).startswith("bench, Table 8: 4 held-out clips")


def test_rates_of_a_split_are_chosen_on_training_clips(gestures, capsys):
    labels = TASKS["motion"].classes
    lines = [
        (f"videos/{split}{n}.webm", labels[n % 4], split, f"{split} scene {n // 2}")
        for split, number in (("train", 40), ("test", 8))
        for n in range(number)
    ]
    table = gestures / "annotations.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split", "group"), *lines])
    command = ["evidence", "--task", "motion", "--data.root", str(gestures), "--arms", "full"]
    command += ["--out", str(gestures / "out"), "--show", "--rates", "0.032"]
    assert main([*command, "0.01"]) == 1
    assert "no result yet for PKS4" in capsys.readouterr().err
    with (gestures / "out" / "rates" / "lists" / "fold1.csv").open(newline="") as file:
        split_of = {line["path"]: line["split"] for line in csv.DictReader(file)}
    assert list(split_of) == [path for path, _, split, _ in lines if split == "train"]
    groups = {
        name: {group for path, _, _, group in lines if split_of.get(path) == name}
        for name in ("train", "test")
    }
    assert len(groups["test"]) == 4
    assert not groups["test"] & groups["train"]

    with table.open("w", newline="") as file:
        few = [*lines[:4], *lines[-8:]]
        csv.writer(file).writerows([("path", "label", "split", "group"), *few])
    assert main([*command, "0.01"]) == 1
    assert "The 4 training clips are too few to choose a rate" in capsys.readouterr().err
    assert main(command) == 1
    assert "has no fold yet" in capsys.readouterr().err, "a single rate is not chosen"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_motion_bench_is_reported_by_amplitude(motion_set, tmp_path, capsys):
    data = generate_cutout_dataset(
        tmp_path / "data",
        sources=motion_set / "videos",
        num_train=40,
        num_test=16,
        settings=CutoutSettings(size=32, amplitudes=(6, 12), radius=(4.0, 6.0)),
        num_workers=0,
    )
    out = tmp_path / "out"
    command = ["evidence", "--task", "motion", "--data.root", str(data), "--out", str(out)]
    rates = ["--rates", "0.032", "0.0001", "--jobs", "2"]
    arms = ["--arms", "full", "average", "--table", "8"]
    assert main([*command, *TINY_TOWER, *arms, *rates]) == 0
    assert_the_best_rates_are_used(out)
    tables = json.loads((out / "comparison.json").read_text())
    titles = ["motion, 8 frames", "motion, 8 frames, 6 px", "motion, 8 frames, 12 px"]
    of_table = [title.replace("frames", "frames, Table 8") for title in titles]
    assert list(tables) == [*titles, *of_table]
    for title, num_clips in zip(tables, [16, 8, 8] * 2, strict=True):
        num_rows = 4 if "Table" in title else 2
        assert [row["clips"] for row in tables[title]] == [num_clips] * num_rows
    # four context frames are the default: trained once
    assert [row["row"] for row in tables[of_table[0]]] == ["0", "2", "4", "6"]
    assert tables[of_table[0]][2]["top1"] == tables[titles[0]][0]["top1"]
    assert len(list(out.glob("*/seed0"))) == 5
    with (out / "answers.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    for row in tables[titles[0]]:
        right = [line["label"] == line[f"{row['row']}, seed 0"] for line in answers]
        assert row["top1"] == pytest.approx(sum(right) / 16)
    # both directions have the same frames, so frame averaging predicts the same for both
    average = "frame averaging, seed 0"
    ordered = sorted(answers, key=lambda line: int(Path(line["path"]).stem))
    for one, other in zip(ordered[::2], ordered[1::2], strict=True):
        assert one[average] == other[average]
    for amplitude, title in (("6", titles[1]), ("12", titles[2])):
        chosen = [line for line in answers if line["amplitude"] == amplitude]
        right = sum(line["label"] == line[average] for line in chosen)
        assert tables[title][1]["top1"] == pytest.approx(right / 8)
        assert tables[title][1]["top1"] <= 0.5
    pictures = ["amplitudes", "amplitudes_table_8", "comparison", "comparison_table_8", "priors"]
    assert sorted(path.stem for path in out.glob("*.png")) == pictures
    assert "12 px" in capsys.readouterr().out
