"""Recorded predictions can be read back, joined and compared."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pks4_lightning.experiments.answers import correct, join_answers, read_answers, write_answers
from pks4_lightning.experiments.folds import GroupedClip

CLIPS = [
    GroupedClip("a, b.mp4", "left", "scene 1", amplitude="16"),
    GroupedClip("c.mp4", "right", "scene 1", amplitude="16"),
    GroupedClip("d.mp4", "up", "scene 2", amplitude="32"),
]
ANSWERS = {
    ("scan, class route", 0): ["left", "right", "down"],
    ("scan, class route", 2): ["left", "left", "up"],
    ("odd name, seed 7", 0): ["right", "", "up"],
}


@pytest.fixture
def recorded(tmp_path):
    write_answers(tmp_path / "answers.csv", CLIPS, ANSWERS)
    return tmp_path / "answers.csv"


def test_what_is_written_is_read(recorded):
    assert read_answers(recorded) == (CLIPS, ANSWERS)
    assert recorded.read_text().count("\n") == 1 + len(CLIPS)


def test_clips_without_amplitudes_have_no_such_column(tmp_path):
    clips = [replace(clip, amplitude="") for clip in CLIPS]
    write_answers(tmp_path / "answers.csv", clips, ANSWERS)
    assert "amplitude" not in (tmp_path / "answers.csv").read_text()
    assert read_answers(tmp_path / "answers.csv") == (clips, ANSWERS)


def test_runs_in_parts_are_joined_whatever_the_order_of_their_clips(recorded, tmp_path):
    other = {("GRU", 2): ["up", "right", "left"], ("scan, class route", 2): ["up", "left", "left"]}
    write_answers(tmp_path / "more.csv", CLIPS[::-1], other)
    clips, joined = join_answers([recorded, tmp_path / "more.csv"])
    assert clips == CLIPS
    assert joined == {**ANSWERS, ("GRU", 2): ["left", "right", "up"]}


def test_rows_are_compared_on_the_seeds_that_all_have():
    right = correct(CLIPS, ANSWERS)
    assert {row: each.tolist() for row, each in right.items()} == {
        "scan, class route": [[True, True, False]],
        "odd name, seed 7": [[False, False, True]],
    }
    (both,) = correct(CLIPS, ANSWERS, ["scan, class route"]).values()
    assert np.array_equal(both, [[True, True, False], [True, False, True]])
    assert list(correct(CLIPS, ANSWERS, ["odd name, seed 7", "scan, class route"])) == [
        "odd name, seed 7",
        "scan, class route",
    ]


def test_rows_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="no predictions of 'GRU', only of: scan, class route"):
        correct(CLIPS, ANSWERS, ["GRU"])
    with pytest.raises(ValueError, match="No seed is common to all of: scan, class route; GRU"):
        correct(CLIPS, {**ANSWERS, ("GRU", 1): ["left"] * 3}, ["scan, class route", "GRU"])


@pytest.mark.parametrize(
    ("clips", "answers", "message"),
    [
        (CLIPS[:2], {("GRU", 0): ["left"] * 2}, "lists other clips than"),
        (
            [replace(CLIPS[0], label="up"), *CLIPS[1:]],
            {("GRU", 0): ["left"] * 3},
            "lists other clips than",
        ),
        (
            CLIPS,
            {("scan, class route", 2): ["up"] * 3},
            "other predictions of 'scan, class route' with seed 2",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_refused(recorded, tmp_path, clips, answers, message):
    write_answers(tmp_path / "more.csv", clips, answers)
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        join_answers([recorded, tmp_path / "more.csv"])
    assert "more.csv" in str(refused.value)


def test_a_table_without_clips_is_refused(tmp_path):
    write_answers(tmp_path / "answers.csv", [], {("GRU", 0): []})
    with pytest.raises(ValueError, match=r"answers.csv lists no clips"):
        read_answers(tmp_path / "answers.csv")


def test_a_table_without_predictions_is_refused(tmp_path):
    write_answers(tmp_path / "answers.csv", CLIPS, {})
    with pytest.raises(ValueError, match="no column is named 'ROW, seed NUMBER'"):
        read_answers(tmp_path / "answers.csv")
