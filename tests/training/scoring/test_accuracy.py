import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from pks4_lightning.training.scoring.accuracy import in_top_k, mean_over_views, wilson_interval
from pks4_lightning.training.scoring.metrics import accuracies


def test_views_are_averaged_in_float64_and_rounded_once():
    views = np.array([[1.0, 0.0], [2**-25, 0.0], [2**-25, 1.0]], np.float32)
    means = mean_over_views(views, np.array([7, 7, 7]))
    # in float32, adding the small ones would round them away
    assert means.scores[0, 0] == np.float32((1 + 2**-24) / 3)
    assert means.scores.dtype == np.float32


def test_ties_go_to_the_lower_class():
    scores = np.array([[0.25, 0.25, 0.5, 0.0]] * 4, np.float32)
    label = np.arange(4)
    assert_array_equal(in_top_k(scores, label, 1), [False, False, True, False])
    assert_array_equal(in_top_k(scores, label, 2), [True, False, True, False])
    assert_array_equal(in_top_k(scores, label, 3), [True, True, True, False])
    assert in_top_k(scores, label, 4).all()


def test_nan_scores_count_as_wrong():
    scores = np.array([[np.nan] * 3, [0.5, np.nan, 0.2]])
    assert_array_equal(in_top_k(scores, np.array([0, 1]), 1), [False, False])


def test_the_metric_of_a_run_equals_the_report():
    generator = np.random.default_rng(0)
    scores = generator.integers(4, size=(50, 9)).astype(np.float32)  # with many ties
    label = generator.integers(9, size=50)
    metrics = accuracies("val/")
    for rows in (slice(0, 33), slice(33, 50)):
        metrics.update(torch.tensor(scores[rows]), torch.tensor(label[rows]))
    for k in (1, 5):
        expected = in_top_k(scores, label, k).mean()
        assert metrics.compute()[f"val/top{k}"] == torch.tensor(expected, dtype=torch.float32)


@pytest.mark.parametrize(
    ("num_right", "num_videos", "interval"),
    [(8, 8, (0.675592, 1.0)), (0, 8, (0.0, 0.324408)), (70, 100, (0.604151, 0.781051))],
)
def test_wilsons_interval(num_right, num_videos, interval):
    assert wilson_interval(num_right, num_videos) == pytest.approx(interval, abs=1e-6)


def test_the_interval_of_no_videos_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("num_videos", [8, 40, 400])
def test_intervals_cover_the_truth_at_their_confidence(num_videos, confidence):
    generator = np.random.default_rng(0)
    truth = generator.random(20_000)
    truth[-200:] = np.repeat([0.0, 1.0], 100)
    right = generator.binomial(num_videos, truth)
    bounds = np.array(
        [wilson_interval(k, num_videos, confidence=confidence) for k in range(num_videos + 1)]
    )
    covered = (bounds[right, 0] <= truth) & (truth <= bounds[right, 1])
    assert covered.mean() == pytest.approx(confidence, abs=0.015)
    assert covered[truth > 0.9].mean() > confidence - 0.02
    assert covered[-200:].all()  # where all videos are wrong or all right
