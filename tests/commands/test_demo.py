"""``pks4 demo`` from nothing to its table, small; and again on what is there."""

import json
import logging
import shutil

import pytest

from pks4_lightning.commands.demo import main

SMALL = ["--num_train", "16", "--num_val", "8", "--num_test", "8", "--epochs", "1"]


def state_of(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["--out", str(folder), *SMALL]) == 0
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """The finished demo at the place that its marks name."""
    shutil.copytree(finished, tmp_path / "kept")
    yield finished
    shutil.rmtree(finished)
    shutil.copytree(tmp_path / "kept", finished)


def test_it_ends_with_numbers_and_pictures(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["pks4"]["parameters"] == 313_304
    assert results["baseline"]["parameters"] == 219_528
    for model in ("pks4", "baseline"):
        assert 0 <= results[model]["test/video_top1"] <= results[model]["pair_accuracy"] <= 1
        assert results[model]["seconds"] > 0
    assert (finished / "learning_curves.png").is_file()
    assert (finished / "contact_sheet.png").is_file()


def test_frames_without_order_are_right_on_one_direction_in_two(finished):
    numbers = json.loads((finished / "results.json").read_text())["baseline"]
    assert numbers["test/video_top1"] == numbers["pair_accuracy"] / 2


def test_nothing_finished_is_done_again(finished):
    before = state_of(finished)
    assert main(["--out", str(finished), *SMALL]) == 0
    assert state_of(finished) == before


def test_a_run_with_other_settings_is_refused(finished, caplog):
    before = state_of(finished)
    assert main(["--out", str(finished), *SMALL[:-1], "2"]) == 1
    assert "other settings" in caplog.text
    assert state_of(finished) == before


def test_a_failed_command_shows_the_end_of_its_log(copy, caplog):
    (copy / "pks4" / "checkpoints" / "best.ckpt").unlink()
    (copy / "pks4" / "test_done.json").unlink()
    assert main(["--out", str(copy), *SMALL]) == 1
    assert "testing PKS⁴ ended with status 1" in caplog.text
    assert "best.ckpt" in caplog.text
    assert str(copy / "pks4" / "test.log") in caplog.text


@pytest.mark.slow
def test_an_unfinished_training_is_continued(copy, caplog):
    caplog.set_level(logging.INFO)
    (copy / "baseline" / "fit_done.json").unlink()
    assert main(["--out", str(copy), *SMALL]) == 0
    assert "baseline/checkpoints/last.ckpt" in caplog.text
    assert (copy / "baseline" / "fit_done.json").is_file()


@pytest.mark.parametrize("option", ["--num_train", "--num_test", "--at_once"])
def test_impossible_numbers_are_refused(tmp_path, caplog, option):
    assert main(["--out", str(tmp_path / "out"), option, "0"]) == 1
    assert f"{option.removeprefix('--')} (0)" in caplog.text
    assert not (tmp_path / "out").exists()
