"""Splitting of videos into training, validation and test: by class, by group and by seed."""

import random
from collections import Counter

import pytest

from pks4_lightning.data.annotations.splitting import deal_into_splits

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def alone(labels):
    return [f"{number}" for number in range(len(labels))]


def per_class(labels, splits):
    counts = Counter(zip(labels, splits, strict=True))
    return {
        label: tuple(counts[label, split] for split in ("train", "val", "test"))
        for label in set(labels)
    }


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (5, (3, 1, 1)), (10, (8, 1, 1)),
     (100, (80, 10, 10)), (997, (797, 100, 100))],
)  # fmt: skip
def test_every_class_is_dealt_by_the_shares(count, expected):
    labels = ["a"] * count + ["b"] * 1000
    dealt = per_class(labels, deal_into_splits(labels, alone(labels), SHARES))
    assert dealt == {"a": expected, "b": (800, 100, 100)}


def test_groups_are_kept_whole_and_classes_stay_even():
    draw = random.Random(0)
    groups = [f"person {draw.randrange(40)}" for _ in range(2_000)]
    labels = [draw.choice("abcde") for _ in groups]
    splits = deal_into_splits(labels, groups, SHARES)
    of_group = {}
    for group, split in zip(groups, splits, strict=True):
        assert of_group.setdefault(group, split) == split
    for counts in per_class(labels, splits).values():
        shares = [count / sum(counts) for count in counts]
        assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.04)


@pytest.mark.parametrize("sizes", [(5, 5, 5), (50, 1, 1), (30, 20, 10)])
def test_as_many_groups_as_splits_leave_none_empty(sizes):
    groups = [name for name, size in zip("xyz", sizes, strict=True) for _ in range(size)]
    splits = deal_into_splits(["a"] * len(groups), groups, SHARES)
    assert set(splits) == {"train", "val", "test"}
    assert splits.count("train") == max(sizes), "the largest group is trained on"


def test_a_class_of_a_single_group_is_trained_on():
    labels, groups = ["a"] * 60 + ["b"] * 4, [f"g{n % 6}" for n in range(60)] + ["g9"] * 4
    assert per_class(labels, deal_into_splits(labels, groups, SHARES))["b"] == (4, 0, 0)
    with pytest.raises(
        ValueError, match="3 groups, 3 of which hold all videos of a class, are too few"
    ):
        deal_into_splits(["a", "b", "c"] * 3, ["x", "y", "z"] * 3, SHARES)


def test_the_seed_decides_and_the_order_of_the_list_does_not():
    labels, names = ["a", "b"] * 50, [f"{number}.mp4" for number in range(100)]
    first = dict(zip(names, deal_into_splits(labels, names, SHARES, seed=1), strict=True))
    mixed = list(zip(names, labels, strict=True))
    random.Random(0).shuffle(mixed)
    again = deal_into_splits([x[1] for x in mixed], [x[0] for x in mixed], SHARES, seed=1)
    assert dict(zip([x[0] for x in mixed], again, strict=True)) == first
    assert dict(zip(names, deal_into_splits(labels, names, SHARES, seed=2), strict=True)) != first


def test_fewer_groups_than_splits_are_refused():
    with pytest.raises(ValueError, match=r"2 groups are too few for 3 splits \(train, val, test\)"):
        deal_into_splits(["a"] * 9, ["x"] * 5 + ["y"] * 4, SHARES)


def test_many_videos_are_dealt_at_once():
    labels = [str(number % 400) for number in range(100_000)]
    splits = deal_into_splits(labels, alone(labels), SHARES)
    assert Counter(splits) == {"train": 80_000, "val": 10_000, "test": 10_000}
