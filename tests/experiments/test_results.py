"""The results file, and tables of our results beside the paper's."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pks4_lightning.experiments.ablations import ablation_arms
from pks4_lightning.experiments.results import (
    Result,
    read_results,
    results_table,
    summarise,
    update_results,
    write_results,
)
from tests.conftest import ROOT

ARMS = ablation_arms([6, 7], num_blocks=4)
ONE = Result(
    table=7,
    row="Bidirectional",
    seed=0,
    params=359_000,
    gflops=0.1234,
    top1=0.7,
    top5=0.95,
    seconds=71.5,
    peak_memory_mb=512.0,
    commit="1234567",
    config_hash="0123456789ab",
)
OTHER = replace(ONE, seed=1, top1=0.8, row="Bidirectional")


def shown(number, results):
    text = io.StringIO()
    arms = [arm for arm in ARMS if arm.table == number]
    Console(width=80, file=text).print(results_table(arms, results, title="a table"))
    lines = text.getvalue().split("\n")
    return {line.strip().split("  ")[0]: line for line in lines}


def test_results_round_trip(tmp_path):
    write_results(tmp_path / "results.csv", [ONE, OTHER])
    assert read_results(tmp_path / "results.csv") == [ONE, OTHER]


def test_other_measures_are_columns_of_their_own(tmp_path):
    path = tmp_path / "results.csv"
    measured = replace(ONE, measures={"pair": 0.5, "direction": 0.25})
    write_results(path, [OTHER, measured])
    assert path.read_text().splitlines()[0].endswith(",config_hash,fold,pair,direction")
    assert read_results(path) == [OTHER, measured]


def test_the_unnamed_index_that_pandas_writes_is_no_measure(tmp_path):
    write_results(tmp_path / "a.csv", [ONE])
    header, line = (tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "b.csv").write_text(f",{header}\n0,{line}\n")
    assert read_results(tmp_path / "b.csv") == [ONE]


def test_results_of_earlier_versions_are_read():
    results = read_results(ROOT / "benchmarks" / "results" / "ablations.csv")
    assert {result.table for result in results} == {5, 6, 7, 8, 9}
    assert {result.seed for result in results} == {0, 1, 2}


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "results.csv"
    write_results(path, [ONE])
    path.write_text(path.read_text().replace("seed,", "").replace("commit", "version"))
    with pytest.raises(ValueError, match=r"results.csv has no column seed, commit"):
        read_results(path)


def test_a_value_that_is_no_number_is_named_with_its_line(tmp_path):
    path = tmp_path / "results.csv"
    write_results(path, [ONE, OTHER])
    path.write_text(path.read_text().replace("0.8", "good"))
    with pytest.raises(ValueError, match=r"results.csv, line 3: .*'good'"):
        read_results(path)


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no results .*nowhere.csv"):
        read_results(tmp_path / "nowhere.csv")


def test_means_and_spreads_stand_beside_the_papers_numbers():
    line = shown(7, [ONE, OTHER])["Bidirectional"]
    assert "70.4" in line
    assert "75.0 ± 7.1" in line
    assert "359,000" in line


def test_a_table_shows_what_an_experiment_asks_for():
    text = io.StringIO()
    measured = [replace(each, measures={"pair": 0.9}) for each in (ONE, OTHER)]
    (arm,) = [arm for arm in ARMS if arm.name == "Bidirectional"]
    arm = replace(arm, paper=None)
    Console(width=80, file=text).print(
        results_table([arm], measured, title="", shares=("pair",), costs=("seconds",))
    )
    (line,) = [line for line in text.getvalue().split("\n") if "Bidirectional" in line]
    assert line.split() == ["Bidirectional", "72", "90.0", "±", "0.0", "2"]


def test_one_seed_has_no_spread_and_a_row_without_seeds_no_number():
    lines = shown(7, [ONE])
    assert "±" not in lines["Bidirectional"]
    assert "70.0" in lines["Bidirectional"]
    assert "70.3" in lines["Unidirectional"]
    assert lines["Unidirectional"].count("–") == 5


def test_a_depth_of_another_tower_names_the_papers():
    lines = shown(6, [])
    assert "66.32" in lines["2 of 4 (paper: 6)"]
    assert "–" in lines["1 of 4"]


def test_rows_are_averaged_over_their_seeds():
    single = replace(ONE, row="Unidirectional")
    both, alone = summarise([ONE, single, OTHER])
    assert (both["row"], both["seeds"], both["top1"]) == ("Bidirectional", 2, 0.75)
    assert both["top1_std"] == pytest.approx(0.0707, abs=1e-4)
    assert both["seconds_std"] == 0
    assert (alone["row"], alone["seeds"], alone["top1"]) == ("Unidirectional", 1, 0.7)
    assert "top1_std" not in alone


def test_results_of_other_tables_and_seeds_stay(tmp_path):
    path = tmp_path / "results.csv"
    other_table = replace(ONE, table=5, row="+ KS4")
    assert update_results(path, [ONE, OTHER]) == [ONE, OTHER]
    again = replace(OTHER, seconds=1.0)
    assert update_results(path, [again, other_table]) == [other_table, ONE, again]
    assert read_results(path) == [other_table, ONE, again]
