"""Plan of an experiment: its trainings, and the rows that share one."""

import pytest

from pks4_lightning.experiments.ablations import TABLES, ablation_arms
from pks4_lightning.experiments.plan import Arm, by_table, commands_of, plan_trials
from tests.conftest import TINY

BASE = ("--config", str(TINY), "--model.classifier.context_frames", "4")


def plan(tables, *arguments, out, **settings):
    arms = ablation_arms(tables, num_blocks=2)
    return plan_trials(arms, base=(*BASE, *arguments), out=out, **settings)


def test_equal_settings_are_trained_once(tmp_path):
    trials = plan(TABLES, "--data.num_clips", "1", seeds=[0, 1, 2], out=tmp_path)
    assert len(trials) == 3 * (5 + 1 + 2 + 4 + 4)
    # the full model is a row of every table, and the tower has only one insertion point
    assert len({trial.folder for trial in trials}) == 3 * (4 + 1 + 1 + 3 + 3)
    assert len(commands_of(trials)) == 3 * 12


def test_rows_that_differ_in_views_are_trained_once_and_tested_twice(tmp_path):
    trials = plan([7, 8], "--data.num_clips", "2", out=tmp_path)
    by_row = {(trial.arm.table, trial.arm.name): trial for trial in trials}
    full, context = by_row[7, "Unidirectional"], by_row[8, "4"]
    assert full.folder == context.folder
    assert full.test_folder != context.test_folder
    (line,) = [line for line in commands_of(trials) if str(full.folder) in line]
    assert [part.split()[1] for part in line.split(" && ")] == ["fit", "test", "test"]


def test_seeds_differ_in_nothing_but_the_seed(tmp_path):
    one, _, other, _ = plan([7], seeds=[0, 7, 7], out=tmp_path)
    differing = [(a, b) for a, b in zip(one.fit, other.fit, strict=True) if a != b]
    assert differing == [("0", "7"), ("0", "7"), (str(one.folder), str(other.folder))]
    assert one.folder.parent == other.folder.parent


def test_arms_are_grouped_by_table_in_their_order():
    arms = [Arm("a", table=6), Arm("b"), Arm("c", table=6)]
    assert by_table(arms) == {6: [arms[0], arms[2]], 0: [arms[1]]}


def test_a_folder_has_a_readable_name_and_is_found_by_its_settings(tmp_path):
    (trial,) = plan_trials([Arm("PKS⁴ (ours)")], base=BASE, out=tmp_path)
    assert trial.folder.parent.name.startswith("pks4-ours-")
    trial.folder.mkdir(parents=True)
    (renamed,) = plan_trials([Arm("the same")], base=BASE, out=tmp_path)
    assert renamed.folder == trial.folder
    (other,) = plan_trials([Arm("PKS⁴", ("--data.num_frames", "8"))], base=BASE, out=tmp_path)
    assert other.folder != trial.folder


def test_an_arm_that_is_no_setting_is_refused(tmp_path):
    with pytest.raises(ValueError, match="num_frmes"):
        plan_trials([Arm("typo", ("--data.num_frmes", "8"))], base=BASE, out=tmp_path)
