"""Grouped cross-validation: the clips used for training, for choosing rates and for testing."""

import csv
import json
from dataclasses import replace

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.experiments.cross_validation import Runs, best_rate, cross_validate, listed
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.experiments.plan import Arm
from pks4_lightning.experiments.results import Result, read_results
from tests.conftest import TINY

ARM = Arm("full", table=5)
CLIPS = [
    GroupedClip(f"{label}{scene}.mp4", label, f"scene{scene}")
    for scene in range(6)
    for label in "ab"
]


@pytest.fixture(scope="module")
def clips(motion_set, tmp_path_factory):
    """A table of the motion set's videos, each class in three groups.

    Paths and labels are spelled in several ways, as in a table made by hand.
    """
    entries = [
        entry
        for split in ("train", "validation", "test")
        for entry in json.loads((motion_set / "labels" / f"{split}.json").read_text())
    ]
    seen = {}
    lines = []
    for entry in entries:
        label = entry["template"].replace("[", "").replace("]", "")
        group = seen[label] = seen.get(label, -1) + 1
        stem = entry["id"]
        path = (stem, f"./{stem}.webm", f"{stem}.WEBM", f".//{stem}.webm")[len(lines) % 4]
        spelled = (label, f"[{label}]")[len(lines) % 2]
        lines.append((path, spelled, f"take {group % 3}"))
    path = tmp_path_factory.mktemp("clips") / "clips.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group"), *lines])
    return path


@pytest.fixture
def validate(clips, motion_set, tmp_path):
    """Arguments of a minimal cross-validation: one row, two folds, one epoch."""
    return [
        *("ablate", "--config", str(TINY), "--table", "6", "--out", str(tmp_path / "out")),
        *("--data.root", str(motion_set / "videos"), "--data.train", str(clips)),
        *("--data.augmentation.flip_label_pairs", "null", "--trainer.max_epochs", "1"),
        *("--folds", "2", "--jobs", "2"),
    ]


@pytest.mark.timeout(600)
def test_every_clip_is_tested_once_by_models_that_have_not_seen_its_group(
    validate, clips, tmp_path, capsys
):
    assert main(validate) == 0
    out = tmp_path / "out"
    with (out / "folds.csv").open(newline="") as file:
        fold_of = {line["path"]: line for line in csv.DictReader(file)}
    with (out / "answers.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    assert sorted(each["path"] for each in answers) == sorted(fold_of)
    right = sum(each["label"] == each["Table 6, 1 of 2, seed 0"] for each in answers)

    (row,) = json.loads((out / "comparison.json").read_text())["Table 6"]
    assert row["top1"] == pytest.approx(right / len(answers))
    assert row["clips"] == len(answers) == 35
    assert f"{100 * row['top1']:.1f}" in capsys.readouterr().out
    results = read_results(out / "results.csv")
    assert [(each.row, each.seed, each.fold) for each in results] == [
        ("1 of 2", 0, 1),
        ("1 of 2", 0, 2),
    ]
    tested = [sum(line["fold"] == str(each.fold) for line in fold_of.values()) for each in results]
    # the accuracies that `pks4 test` has computed
    assert right == pytest.approx(
        sum(each.top1 * size for each, size in zip(results, tested, strict=True)), abs=0.01
    )
    for number in ("1", "2"):
        (folder,) = out.glob(f"*/seed0_fold{number}")
        saved = (folder / "config.yaml").read_text()
        assert f"lists/fold{number}.csv" in saved
        assert "monitor: val/" not in saved, "no test clip chooses the weights"

    assert main([*validate[:-4], "--folds", "3"]) == 1
    assert "holds folds of different clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--folds", "9"], "3 groups are too few for 9 folds"),
        (
            ["--folds", "2", "--rates", "1e-3", "1e-4"],
            "no inner split to choose a learning rate on",
        ),
        (["--folds", "2", "--print"], "--print cannot list"),
        (["--rates", "1e-3"], "--rates are chosen on held-out groups of clips: add --folds"),
        (["--folds", "2", "--data.train", "null"], "set --data.train to a table"),
    ],
)
def test_errors_of_cross_validation_are_one_sentence(
    validate, tmp_path, capsys, arguments, message
):
    assert main([*validate[:-4], *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["ablate", "compare"])
def test_print_is_refused_before_the_videos_of_the_demo_are_generated(command, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([command, "--print", "--folds", "2", "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "--print cannot list the trainings of --folds 2" in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_rate_is_chosen_for_each_row_and_fold_by_its_inner_split():
    common = dict.fromkeys(("params", "gflops", "top5", "seconds", "peak_memory_mb"), 0)
    one = Result(**common, table=5, row="", seed=0, top1=0, commit="", config_hash="")
    results = [
        replace(one, row=f"full, base_lr {rate}", fold=fold, top1=top1)
        for fold, rate, top1 in (
            *((1, "0.1", 0.5), (1, "0.01", 0.7)),
            *((2, "0.1", 0.6), (2, "0.01", 0.4)),
            *((3, "0.1", 0.5), (3, "0.01", 0.5)),
        )
    ]
    chosen = [best_rate(ARM, fold, [0.1, 0.01], results) for fold in (1, 2, 3)]
    assert chosen == [0.01, 0.1, 0.1], "of equals, the first"


def test_rates_that_differ_in_a_late_digit_are_told_apart():
    rates = [0.1, 0.1000000001]
    common = dict.fromkeys(("params", "gflops", "top5", "seconds", "peak_memory_mb"), 0)
    results = [
        Result(
            **common,
            table=5,
            row=f"full, base_lr {rate}",
            seed=0,
            top1=rate,
            commit="",
            config_hash="",
            fold=1,
        )
        for rate in rates
    ]
    assert best_rate(ARM, 1, rates, results) == rates[1]


def test_a_tested_video_is_found_among_the_clips():
    known = ["a/1.webm", "1.webm", "./#2.webm"]
    assert listed("/data/a/1.webm", known) == "a/1.webm"
    assert listed("/data/1.webm", known) == "1.webm"
    assert listed("/data/#2.webm", known) == "./#2.webm"
    with pytest.raises(ValueError, match=r"tested /data/2.webm, which is none of the 3 clips"):
        listed("/data/2.webm", known)


def test_a_class_that_a_fold_would_lack_is_refused_before_anything_is_written(tmp_path):
    rare = GroupedClip("c.mp4", "c", "scene0")
    with pytest.raises(ValueError, match="would have no clip of the class 'c'"):
        cross_validate([ARM], [*CLIPS, rare], Runs(out=tmp_path / "out"), num_folds=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_methods_are_compared_on_held_out_groups(validate, tmp_path, capsys):
    of_ablate = validate[validate.index("--table") : validate.index("--table") + 2]
    args = [word for word in validate[1:] if word not in of_ablate]
    assert main(["compare", *args, "--models", "pks4", "frame_average"]) == 0
    out = tmp_path / "out"
    with (out / "answers.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    for report in json.loads((out / "comparison.json").read_text()):
        right = sum(each["label"] == each[f"{report['method']}, seed 0"] for each in answers)
        assert len(answers) == 35
        assert report["top1"] == pytest.approx(right / 35, abs=1e-4)
        assert report["seeds"] == [0]
        assert report["clips"] == 35
        assert report["top1_low"] <= report["top1"] <= report["top1_high"]
    assert "2 folds: 35 held-out clips, 1 seed" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rates_are_chosen_on_clips_that_are_not_tested(validate, tmp_path):
    rates = ["--rates", "0.032", "0.0001"]
    assert main([*validate[:-4], "--folds", "3", "--jobs", "2", *rates]) == 0
    out = tmp_path / "out"
    inner = read_results(out / "rates" / "results.csv")
    assert len(inner) == 2 * 3
    with (out / "folds.csv").open(newline="") as file:
        fold_of = {line["path"]: int(line["fold"]) for line in csv.DictReader(file)}
    for number in (1, 2, 3):
        with (out / "rates" / "lists" / f"fold{number}.csv").open(newline="") as file:
            listed = {line["path"]: line["split"] for line in csv.DictReader(file)}
        assert {fold_of[path] for path in listed} == {1, 2, 3} - {number}
    for result in read_results(out / "results.csv"):
        best = max(each.top1 for each in inner if each.fold == result.fold)
        (folder,) = out.glob(f"*/seed0_fold{result.fold}")
        used = (folder / "config.yaml").read_text().split("base_lr: ")[1].split()[0]
        assert best in [each.top1 for each in inner if each.row.endswith(f"{float(used):g}")]
