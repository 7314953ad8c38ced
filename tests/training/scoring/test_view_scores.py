import json

import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.commands.rescore import rescore
from pks4_lightning.training.scoring.accuracy import wilson_interval
from pks4_lightning.training.scoring.score_report import report_scores
from pks4_lightning.training.scoring.view_scores import VideoResult, ViewScores, accuracy, interval

NUM_VIDEOS, NUM_VIEWS, K = 20, 6, 8


@pytest.fixture
def views():
    generator = np.random.default_rng(0)
    scores = generator.dirichlet(np.ones(K), size=NUM_VIDEOS * NUM_VIEWS).astype(np.float32)
    order = generator.permutation(NUM_VIDEOS * NUM_VIEWS)  # ranks gather views in any order
    label = generator.integers(K, size=NUM_VIDEOS)
    return ViewScores(
        scores=scores[order],
        video_index=np.repeat(np.arange(NUM_VIDEOS), NUM_VIEWS)[order],
        view_index=np.tile(np.arange(NUM_VIEWS), NUM_VIDEOS)[order],
        label=np.repeat(label, NUM_VIEWS)[order],
        label_names=tuple("abcdefgh"),
    )


def by_hand(views, chosen):
    """Mean scores of each video, computed in a loop."""
    means = []
    for video in range(NUM_VIDEOS):
        rows = [
            scores
            for scores, owner, view in zip(
                views.scores, views.video_index, views.view_index, strict=True
            )
            if owner == video and view in chosen
        ]
        means.append(np.mean(rows, axis=0))
    return np.array(means)


@pytest.mark.parametrize("chosen", [None, [0], [1, 4], [5, 2, 0]])
def test_any_subset_of_views_is_averaged_per_video(views, chosen):
    result = views.per_video(chosen)
    expected = by_hand(views, range(NUM_VIEWS) if chosen is None else chosen)
    np.testing.assert_allclose(result.scores, expected, rtol=1e-5)
    assert result.video_index.tolist() == list(range(NUM_VIDEOS))


def test_a_view_that_is_not_there_is_refused(views):
    with pytest.raises(ValueError, match="a view 6; the views in the file are 0, 1, 2, 3, 4, 5"):
        views.per_video([0, 6])


def test_accuracy_counts_the_label_among_the_best():
    scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], np.float32)
    result = VideoResult(np.arange(3), np.array([0, 1, 2]), scores)
    assert accuracy(result, 1) == pytest.approx(1 / 3)
    assert accuracy(result, 2) == pytest.approx(2 / 3)
    assert accuracy(result, 5) == 1


def test_interval_is_wilsons_of_the_videos_that_are_right():
    scores = np.eye(6, dtype=np.float32)[[0, 1, 2, 3, 4, 5, 0, 0]]
    result = VideoResult(np.arange(8), np.array([0, 1, 2, 3, 4, 5, 0, 0]), scores)
    assert interval(result, 1) == wilson_interval(8, 8)


def test_file_brings_everything_back(views, tmp_path):
    views.save(tmp_path / "view_scores.npz")
    again = ViewScores.load(tmp_path / "view_scores.npz")
    for field in ("scores", "video_index", "view_index", "label"):
        assert np.array_equal(getattr(again, field), getattr(views, field))
    assert again.label_names == views.label_names
    assert [path.name for path in tmp_path.iterdir()] == ["view_scores.npz"]


TESTED = {"split": "test", "annotations": "test.csv"}


def test_missing_and_failed_videos_count_as_wrong():
    scores = np.eye(6, dtype=np.float32)[[0, 1, 2, 0]]
    result = VideoResult(np.arange(4), np.array([0, 1, 2, 5]), scores)
    report = report_scores(result, **TESTED, num_missing=2, num_failed=4)
    assert (report.num_listed, report.num_scored) == (10, 4)
    assert report.top1 == 0.75
    assert report.top1_of_listed == pytest.approx(0.3)
    assert report.as_dict()["test/video_top1_of_listed"] == 0.3
    assert report.as_dict()["test/video_mean_class_accuracy"] == 0.75


def test_a_test_without_a_scored_video_is_reported_all_the_same():
    nothing = VideoResult(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3), np.float32))
    report = report_scores(nothing, **TESTED, num_missing=3, num_failed=0)
    assert (report.num_listed, report.top1, report.top1_of_listed) == (3, 0.0, 0.0)
    assert report.top1_interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("split", "title"),
    [
        ("test", "Test on the test split, labels/test.json"),
        ("val", "Test on the validation split, labels/test.json, as there is no test split with"),
    ],
)
def test_a_report_names_the_split(split, title):
    scores = np.eye(3, dtype=np.float32)
    result = VideoResult(np.arange(3), np.arange(3), scores)
    where = {"split": split, "annotations": "labels/test.json"}
    report = report_scores(result, **where, num_missing=0, num_failed=0)
    assert report.as_table().title.startswith(title)
    assert {key: report.as_dict()[key] for key in where} == where


def test_command_scores_again(views, tmp_path, capsys):
    path = tmp_path / "view_scores.npz"
    views.save(path)
    assert main(["rescore", str(path), "--views", "1", "4", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    right = by_hand(views, [1, 4]).argmax(axis=1) == views.per_video().label
    assert row["top1"] == pytest.approx(right.mean(), abs=1e-6)
    assert row["views"] == "1 4"
    assert main(["rescore", str(path)]) == 0
    assert "all" in capsys.readouterr().out


def test_by_default_every_view_is_also_scored_alone(views):
    assert [row["views"] for row in rescore(views, None)] == ["all", *map(str, range(NUM_VIEWS))]


@pytest.mark.parametrize("content", [None, b"", b"no scores"])
def test_command_refuses_other_files_in_one_sentence(tmp_path, capsys, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    assert main(["rescore", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pks4: error: ")
    assert "x.npz" in error
    assert error.count("\n") == 1
