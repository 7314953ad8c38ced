"""``pks4 ablate``: output and errors."""

import fcntl
import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.cli.settings import resolve
from pks4_lightning.commands import ablate as ablate_command
from pks4_lightning.experiments.ablations import READINGS
from pks4_lightning.experiments.data_set import keep_data_set
from pks4_lightning.experiments.results import Result, write_results

TABLE_7 = ["--table", "7", "--trainer.max_epochs", "1"]


@pytest.fixture
def ablate(tiny_args, tmp_path):
    """Arguments of a minimal ablation: two rows, one epoch, a tiny tower."""
    return ["ablate", *tiny_args, "--out", str(tmp_path / "out"), *TABLE_7]


def finished(folder):
    return sorted(folder.glob("*/seed*/views_*/test/metrics.json"))


def test_a_training_that_still_runs_is_not_started_again(ablate, tmp_path, capsys):
    assert main([*ablate, "--print"]) == 0
    first = capsys.readouterr().out.split("--trainer.default_root_dir ")[1].split()[0]
    lock = Path(first) / "running.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(ablate) == 1
    assert "training Table 7, Unidirectional, seed 0, started by" in capsys.readouterr().err
    assert not finished(tmp_path / "out")


def test_a_failed_training_shows_the_end_of_its_log(ablate, capsys):
    assert main([*ablate, "--model.classifier.num_classes=5"]) == 1
    error = capsys.readouterr().err
    assert "training Table 7, Unidirectional, seed 0 ended with status 1" in error
    assert "8 classes, the model 5" in error


def test_printed_commands_are_whole_and_run_nothing(ablate, tmp_path, capsys):
    assert main([*ablate, "--print", "--seeds", "0", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert [line.split("--seed_everything ")[1][0] for line in lines] == ["0", "0", "5", "5"]
    for line in lines:
        fit, test = line.split(" && ")
        assert fit.startswith("pks4 fit --config=")
        assert "--trainer.max_epochs=1" in fit
        assert test.startswith("pks4 test --ckpt_path ")
    assert not (tmp_path / "out").exists()


def test_readings_stand_beside_tables_or_alone(ablate, capsys):
    num_readings = len(READINGS)
    assert main([*ablate, "--print", "--readings"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == num_readings + 1  # unidirectional is shared
    alone = [each for each in ablate if each not in ("--table", "7")]
    assert main([*alone, "--print", "--readings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == num_readings
    assert sum("--model.classifier.residual" in line for line in lines) == 2


def test_results_of_other_settings_are_not_mixed_in(ablate, tmp_path, capsys):
    result = Result(
        **dict.fromkeys(("params", "gflops", "top1", "top5", "seconds", "peak_memory_mb"), 0),
        table=7,
        row="Bidirectional",
        seed=2,
        commit="",
        config_hash="ffffffffffff",
    )
    write_results(tmp_path / "out" / "results.csv", [result])
    assert main(ablate) == 1
    error = capsys.readouterr().err
    assert "Table 7, Bidirectional has results from different settings" in error
    assert "--out" in error


@pytest.mark.parametrize("split", ["train", "test"])
def test_results_of_other_clips_are_not_mixed_in(ablate, motion_set, tmp_path, capsys, split):
    first = resolve(["--model.classifier.num_classes=8", f"--data.root={motion_set}"])
    keep_data_set(tmp_path / "out", first)
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "videos").symlink_to(motion_set / "videos")
    shutil.copytree(motion_set / "labels", moved / "labels")
    moved_settings = first | {"data": first["data"] | {"root": str(moved)}}
    keep_data_set(tmp_path / "out", moved_settings)
    # a set with the same list and other pictures
    (moved / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match="holds results of other clips"):
        keep_data_set(tmp_path / "out", moved_settings)
    record = tmp_path / "out" / "data_set.json"
    kept = json.loads(record.read_text())
    assert kept.pop("generated")
    record.write_text(json.dumps(kept))  # of an earlier version
    keep_data_set(tmp_path / "out", moved_settings)
    (moved / "dataset.json").unlink()
    path = moved / "labels" / f"{split}.json"
    path.write_text(json.dumps(json.loads(path.read_text())[1:]))
    assert main([*ablate, f"--data.root={moved}"]) == 1
    error = capsys.readouterr().err
    assert f"holds results of other clips than {moved} lists: choose another --out." in error
    assert not finished(tmp_path / "out")


def test_without_a_configuration_it_brings_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = partial(ablate_command._GENERATE, num_train=2, num_val=2, num_test=2)
    monkeypatch.setattr(ablate_command, "_GENERATE", few)
    assert main(["ablate", "--table", "6", "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("insert_after ")[1][0] for line in lines] == ["1", "2", "3"]
    config = lines[0].split("--config ")[1].split()[0]
    assert resolve(["--config", config])["model"]["classifier"]["num_classes"] == 12
    assert len(list((tmp_path / "runs" / "ablations" / "data" / "videos").iterdir())) == 6


@pytest.mark.parametrize("command", ["ablate", "compare"])
def test_a_configuration_in_short_form_replaces_the_demo_too(tiny_args, tmp_path, capsys, command):
    short = ["-c" if word == "--config" else word for word in tiny_args]
    assert main([command, *short, "--out", str(tmp_path / "out"), "--print"]) == 0
    assert "--config=" in (lines := capsys.readouterr().out)
    assert "demo/" not in lines


@pytest.mark.parametrize("command", ["ablate", "compare"])
def test_no_videos_are_generated_for_a_configuration(tiny_args, tmp_path, capsys, command):
    data = tmp_path / "out" / "data"
    root = f"--data.root={data}"
    assert main([command, *tiny_args, "--out", str(tmp_path / "out"), root, "--print"]) == 1
    assert f"no data set in {data}" in capsys.readouterr().err
    assert not data.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "3"], "Table 3 is not an ablation"),
        (["--table", "12"], "no table 12"),
        (["--table", "7", "--data.root", "nowhere"], "no data set in nowhere"),
        (["--table", "7", "--data.root", "null"], "names no data set"),
        (["--table", "7", "--data.num_frames", "many"], "data.num_frames"),
    ],
)
def test_errors_of_ablate_are_one_sentence(tiny_args, tmp_path, capsys, arguments, message):
    assert main(["ablate", *tiny_args, "--out", str(tmp_path / "out"), *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
