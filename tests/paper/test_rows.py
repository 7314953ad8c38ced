"""Which rows the tables have on towers of any depth, and which trainings they share."""

import pytest

from pks4_lightning.experiments.trials import commands_of, plan_trials
from pks4_lightning.paper.rows import TABLES, find_overrides, plan_rows
from tests.conftest import TINY as TINY_CONFIG

TINY = str(TINY_CONFIG)
FOLDER = find_overrides()


def depths(num_blocks):
    return [
        (row.name, row.paper.name if row.paper else None)
        for row in plan_rows([6], num_blocks=num_blocks, folder=FOLDER)
    ]


def test_a_deeper_tower_is_cut_at_the_papers_depths():
    assert depths(24) == [(f"{2 * block} of 24", str(block)) for block in range(5, 12)]


def test_a_shallower_tower_is_cut_after_every_block_but_its_last():
    assert depths(4) == [("1 of 4", None), ("2 of 4", "6"), ("3 of 4", "9")]
    assert depths(2) == [("1 of 2", "6")]


def test_a_table_is_planned_once():
    twice = plan_rows([7, 7], num_blocks=4, folder=FOLDER)
    assert [row.name for row in twice] == ["Unidirectional", "Bidirectional"]


@pytest.mark.parametrize(
    ("table", "message"), [(3, "no ablation"), (10, "has no table 10"), (0, "has no table 0")]
)
def test_other_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        plan_rows([table], num_blocks=12, folder=FOLDER)


def test_equal_settings_are_trained_once(tmp_path):
    rows = plan_rows(TABLES, num_blocks=2, folder=FOLDER)
    base = ("--config", TINY, "--model.classifier.context_frames", "4", "--data.num_clips", "1")
    trials = plan_trials(rows, base=base, num_seeds=3, out=tmp_path)
    assert len(trials) == 3 * (5 + 1 + 2 + 4 + 4)
    # the full model is a row of every table, and the tower has one place for PKS4 only
    assert len({trial.folder for trial in trials}) == 3 * (4 + 1 + 1 + 3 + 3)
    assert len(commands_of(trials)) == 3 * 12


def test_rows_that_differ_in_views_are_trained_once_and_tested_twice(tmp_path):
    rows = plan_rows([7, 8], num_blocks=2, folder=FOLDER)
    base = ("--config", TINY, "--model.classifier.context_frames", "4", "--data.num_clips", "2")
    trials = plan_trials(rows, base=base, num_seeds=1, out=tmp_path)
    by_row = {(trial.row.table, trial.row.name): trial for trial in trials}
    full, context = by_row[7, "Unidirectional"], by_row[8, "4"]
    assert full.folder == context.folder
    assert full.test_folder != context.test_folder
    (line,) = [line for line in commands_of(trials) if str(full.folder) in line]
    assert [part.split()[1] for part in line.split(" && ")] == ["fit", "test", "test"]


def test_seeds_differ_in_nothing_but_the_seed(tmp_path):
    rows = plan_rows([7], num_blocks=2, folder=FOLDER)
    one, _, other, _ = plan_trials(rows, base=("--config", TINY), num_seeds=2, out=tmp_path)
    differing = [(a, b) for a, b in zip(one.fit, other.fit, strict=True) if a != b]
    assert differing == [("0", "1"), ("0", "1"), (str(one.folder), str(other.folder))]
    assert one.folder.parent == other.folder.parent
