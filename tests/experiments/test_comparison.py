"""Confidence intervals over clips and seeds, and their coverage on synthetic results."""

import io
from statistics import NormalDist

import numpy as np
import pytest
from rich.console import Console

from pks4_lightning.experiments.comparison import (
    compare,
    comparison_table,
    estimate,
    student_t_quantile,
)

# from tables of Student's t distribution
QUANTILES = [(1, 12.7062), (2, 4.3027), (3, 3.1824), (8, 2.3060), (87, 1.9876)]


@pytest.mark.parametrize(("freedom", "quantile"), QUANTILES)
def test_quantiles_are_students(freedom, quantile):
    assert student_t_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-5)


@pytest.mark.parametrize("num_seeds", [3, 5])
@pytest.mark.parametrize(
    ("of_seeds", "of_clips"), [(0.0, 0.0), (0.0, 1.0), (0.15, 1.0), (0.3, 0.5)]
)
def test_intervals_cover_the_true_difference_at_the_stated_rate(num_seeds, of_seeds, of_clips):
    """Coverage for two models on 88 clips, drawn from logits with random clip and seed effects."""
    rng = np.random.default_rng(0)
    num_clips, repeats = 88, 1000

    def answers(shift, clip):
        seed = rng.normal(0.0, of_seeds, (num_seeds, 1))
        logit = shift + clip + seed + rng.normal(0.0, 1.0, (num_seeds, num_clips))
        return (logit > 0).astype(float)

    def difference(size, count):
        clip = rng.normal(0.0, of_clips, (1, count))
        return answers(size, clip) - answers(0.0, clip)

    spread = (1.0 + of_seeds**2 + of_clips**2) ** 0.5
    truth = NormalDist(0.0, spread).cdf(0.6) - 0.5
    hits, widths = 0, []
    for _ in range(repeats):
        found = estimate(difference(0.6, num_clips))
        hits += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    # 1000 repeats have a standard error of 0.7 %; intervals are slightly wide without seed effects
    assert 0.925 <= hits / repeats <= 0.999
    assert np.mean(widths) < 0.7


def test_intervals_over_clips_alone_are_too_narrow():
    """The effect of a seed is common to all clips, so variation between clips does not show it."""
    rng = np.random.default_rng(0)
    values = 0.5 + rng.normal(0.0, 0.1, (3, 1)) + rng.normal(0.0, 0.1, (3, 200))
    both = estimate(values)
    clips = estimate(values.mean(axis=0, keepdims=True))
    assert both.high - both.low > 3 * (clips.high - clips.low)


def test_one_seed_is_students_interval_over_clips():
    values = np.array([[1.0, 0.0, 1.0, 1.0]])
    found = estimate(values)
    half = 3.1824 * values.std(ddof=1) / 2.0
    assert found == pytest.approx((0.75, 0.75 - half, 0.75 + half), abs=1e-4)


def test_an_interval_without_errors_in_88_clips_has_a_lower_end():
    found = estimate(np.ones((3, 88)))
    assert found.mean == 1.0
    assert found.low == pytest.approx(1 - 3 / 88, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (0, 5)])
def test_too_few_values_are_refused(shape):
    with pytest.raises(ValueError, match="are too few for an interval"):
        estimate(np.zeros(shape))


@pytest.fixture
def right():
    rng = np.random.default_rng(0)
    hard = rng.random((1, 100))
    return {name: rng.random((3, 100)) * 0.2 + hard < share for name, share in
            (("average", 0.3), ("KS⁴", 0.5), ("full", 0.9))}  # fmt: skip


def test_rows_are_compared_with_the_first_pair_by_pair(right):
    average, ks4, full = compare(right)
    assert (average["seeds"], average["clips"]) == (3, 100)
    assert "difference" not in average
    assert full["difference"] == pytest.approx(full["top1"] - average["top1"])
    # clips that are hard for one arm are hard for the other, so paired intervals are narrower
    assert ks4["difference_low"] > 0
    paired = ks4["difference_high"] - ks4["difference_low"]
    assert paired < ks4["top1_high"] - ks4["top1_low"]


def test_a_table_shows_percent_with_intervals(right):
    text = io.StringIO()
    Console(width=80, file=text).print(comparison_table(compare(right), title="arms"))
    lines = text.getvalue().split("\n")
    assert "arms: 100 held-out clips, 3 seeds" in lines[0]
    (line,) = [line for line in lines if line.strip().startswith("full")]
    assert line.count("…") == 2
    assert "+" in line


def test_an_accuracy_is_a_share_at_both_ends_of_its_interval():
    nearly = np.ones((1, 12), dtype=bool)
    nearly[0, 0] = False
    best, worst = compare({"best": nearly, "worst": ~nearly})
    assert best["top1_high"] == 1.0
    assert worst["top1_low"] == 0.0
    assert worst["difference_low"] < -1.0 < worst["difference"], "a difference is left as it is"


def test_clips_of_one_group_are_one_observation():
    rng = np.random.default_rng(0)
    by_scene = rng.integers(0, 2, (3, 60)).astype(bool)
    twins = {"a": np.repeat(by_scene, 2, axis=1), "b": np.ones((1, 120), dtype=bool)}
    scenes = np.repeat(np.arange(60), 2).astype(str).tolist()
    grouped, alone = compare(twins, scenes), compare({"a": by_scene, "b": np.ones((1, 60))})
    for ours, theirs in zip(grouped, alone, strict=True):
        assert ours == pytest.approx(theirs | {"clips": 120})
    (wide, *_), (narrow, *_) = grouped, compare(twins)
    assert wide["top1"] == narrow["top1"]
    assert wide["top1_high"] - wide["top1_low"] > 1.2 * (narrow["top1_high"] - narrow["top1_low"])


def test_groups_of_unequal_size_are_no_variation():
    groups = [str(group) for group in range(27) for _ in range(1 + group % 11)]
    right = np.ones((3, len(groups)), dtype=bool)
    none, all_right = compare({"none": ~right, "all": right}, groups)
    one_each = compare({"none": ~right[:, :27], "all": right[:, :27]})[1]
    for ours in (all_right, {**none, "top1": 1.0, "top1_low": 1 - none["top1_high"]}):
        assert ours["top1"] == 1.0
        assert ours["top1_low"] == pytest.approx(one_each["top1_low"])
    assert all_right["difference_high"] == pytest.approx(one_each["difference_high"])


def test_a_constant_share_of_every_group_is_no_variation():
    """Sums of thirds are not exact, and their rounding must not pass for a spread."""
    third = np.tile([True, False, False], (2, 60))
    groups = np.repeat(np.arange(40), np.tile([3, 6], 20)).astype(str).tolist()
    (row,) = compare({"a": third}, groups)
    assert row["top1_high"] - row["top1"] == pytest.approx(-np.log(0.05) / 40)


def test_intervals_over_groups_of_unequal_size_cover_the_true_accuracy():
    """Coverage for three seeds and 27 groups of 1 to 11 clips, some groups easier than others."""
    rng = np.random.default_rng(0)
    truth, repeats, hits, widths = 0.9, 500, 0, []
    for _ in range(repeats):
        sizes = rng.integers(1, 12, 27)
        accuracy = np.repeat(rng.uniform(0.85, 0.95, 27), sizes)
        right = rng.random((3, sizes.sum())) < accuracy
        (row,) = compare({"a": right}, np.repeat(np.arange(27), sizes).astype(str).tolist())
        hits += row["top1_low"] <= truth <= row["top1_high"]
        widths.append(row["top1_high"] - row["top1_low"])
    # a standard error of 1 %; slightly wide, because a seed makes no difference here
    assert 0.925 <= hits / repeats <= 0.998
    assert np.mean(widths) < 0.12


def test_groups_of_unequal_size_leave_the_mean_over_clips():
    right = {"a": np.array([[1, 1, 1, 0, 1]], dtype=bool)}
    (row,) = compare(right, ["x", "x", "x", "y", "z"])
    assert row["top1"] == pytest.approx(0.8)
