"""``pks4 demo`` at a small scale: from an empty folder to its table, and again when finished."""

import json
import shutil

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.experiments.results import read_results

SMALL = ["--num_train", "16", "--num_val", "8", "--num_test", "8", "--epochs", "1"]


def state_of(folder):
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder
    }


def folder_of_test(out):
    (folder,) = out.glob("pks4-*/seed0/views_1x1")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The finished demo, run in an empty folder."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["demo", *SMALL]) == 0
    return folder / "runs" / "demo"


def test_it_ends_with_numbers_and_figures(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["pks4"]["parameters"] == 313_304
    assert results["baseline"]["parameters"] == 219_528
    for model in ("pks4", "baseline"):
        assert 0 <= results[model]["test/video_top1"] <= results[model]["pair_accuracy"] <= 1
        assert results[model]["seconds"] > 0
    assert (finished / "learning_curves.png").is_file()
    assert (finished / "contact_sheet.png").is_file()


def test_the_results_file_is_that_of_any_experiment(finished):
    results = read_results(finished / "results.csv")
    assert [(each.row, each.seed) for each in results] == [("PKS⁴", 0), ("frame averaging", 0)]
    assert set(results[0].measures) == {"pair", "direction"}


def test_a_model_that_ignores_order_gets_one_direction_in_two_right(finished):
    numbers = json.loads((finished / "results.json").read_text())["baseline"]
    assert numbers["test/video_top1"] == numbers["pair_accuracy"] / 2


def test_nothing_finished_is_done_again(finished, monkeypatch):
    monkeypatch.chdir(finished.parent.parent)
    before = state_of(finished)
    assert main(["demo", *SMALL]) == 0
    assert state_of(finished) == before


def test_a_run_with_other_settings_is_refused(finished, capsys):
    before = state_of(finished)
    assert main(["demo", "--out", str(finished), *SMALL[:-1], "2"]) == 1
    assert "PKS⁴ has results from different settings" in capsys.readouterr().err
    assert state_of(finished) == before


@pytest.mark.slow  # test_ablate.py tests the same runner
def test_a_failed_command_shows_the_end_of_its_log(finished, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    folder = folder_of_test(out)
    (folder.parent / "checkpoints" / "best.ckpt").unlink()
    (folder / "test" / "metrics.json").unlink()
    assert main(["demo", "--out", str(out), *SMALL]) == 1
    error = capsys.readouterr().err
    assert "testing PKS⁴, seed 0 ended with status 1" in error
    assert "best.ckpt" in error
    assert str(folder / "test.log") in error
