import io
import json

import pytest

from pks4_lightning.experiments.curves import result_points, result_sweep
from pks4_lightning.experiments.results import Result
from pks4_lightning.pictures.trade_offs import (
    paper_points,
    paper_sweep,
    read_costs,
    sweep_figure,
    trade_off_figure,
)

PKS4_B16 = "ViT-B/16: PKS⁴ (ours)"


def result(table, row, seed, top1):
    own = {"params": 10, "gflops": 0.5, "top5": 1.0, "seconds": 60.0, "peak_memory_mb": 100.0}
    return Result(table=table, row=row, seed=seed, top1=top1, commit="", config_hash="", **own)


RESULTS = [result(6, "1 of 4", 0, 0.5), result(6, "1 of 4", 1, 0.7), result(8, "0", 0, 0.6)]


def test_points_are_the_papers_rows_and_ours():
    points = paper_points(1, "training_memory", computed={PKS4_B16: 22.0})
    assert len(points) == 10 + 1
    beside = [(point.cost, point.top1) for point in points if point.name == PKS4_B16]
    assert beside == [(21.8, 70.1), (22.0, 70.1)]


def test_a_row_without_a_cost_is_no_point():
    assert len(paper_points(3, "params")) == 28 - 4  # four peers without parameters


def test_sweeps_keep_every_seed():
    assert paper_sweep(8).choices == ["0", "2", "4", "6"]
    ours = result_sweep(RESULTS, 6)
    assert ours.choices == ["1 of 4"]
    assert ours.top1 == [[50.0, 70.0]]
    assert [point.cost for point in result_points(RESULTS, "gflops")] == [0.5] * 3


def test_pictures_draw_every_panel_also_without_results():
    trade = trade_off_figure({"GFLOPs": paper_points(3, "gflops"), "seconds": []})
    sweeps = sweep_figure(
        {
            "depth": (paper_sweep(6), result_sweep(RESULTS, 6)),
            "context": (paper_sweep(8), result_sweep([], 8)),
        }
    )
    for figure in (trade, sweeps):
        figure.savefig(io.BytesIO())
    assert [len(figure.axes) for figure in (trade, sweeps)] == [2, 4]


def test_costs_are_read_from_either_file(tmp_path):
    cell = {"table": 1, "row": PKS4_B16, "column": "GFLOPs", "ours": 435.6}
    for name, content in (("list", [cell]), ("benchmark", {"rows": {"cells": [cell]}})):
        (tmp_path / name).write_text(json.dumps(content))
        costs = read_costs(tmp_path / name, table=1, column="GFLOPs")
        assert costs == {PKS4_B16: 435.6}


@pytest.mark.parametrize("content", ["{}", "no json", '[{"table": 1}]'])
def test_an_unrelated_file_is_refused(tmp_path, content):
    path = tmp_path / "costs.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="does not hold the paper's cells"):
        read_costs(path, table=1, column="GFLOPs")
    with pytest.raises(FileNotFoundError, match="pks4 cost --paper --json"):
        read_costs(tmp_path / "nothing.json", table=1, column="GFLOPs")


def test_an_empty_figure_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        trade_off_figure({})
    with pytest.raises(ValueError, match="at least one"):
        sweep_figure({})
