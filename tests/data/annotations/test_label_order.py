"""A checkpoint's classes and the data's must agree in order, or be matched by name."""

import json

import pytest

from pks4_lightning.data.datamodule import VideoDataModule

NAMES = ["Holding something", "Pulling something", "Throwing something"]


def make(root, order=(0, 1, 2), **options):
    """Make a data set whose labels.json numbers the classes in another order."""
    root.mkdir(exist_ok=True)
    numbers = {NAMES[index]: str(position) for position, index in enumerate(order)}
    (root / "labels.json").write_text(json.dumps(numbers))
    for split, count in (("train", 7), ("validation", 5)):
        entries = [
            {"id": f"{split}{i}", "template": NAMES[i % 3].replace("something", "[something]")}
            for i in range(count)
        ]
        (root / f"{split}.json").write_text(json.dumps(entries))
        for i in range(count - 1):
            (root / f"{split}{i}.webm").touch()
    return VideoDataModule(str(root), allow_missing=0.3, num_workers=0, **options)


def accuracy(data, split, answers):
    """Accuracy of a model with these predictions (indices of its outputs)."""
    videos = data.videos(split)
    right = [
        answers[path] == label for path, label in zip(videos.paths, videos.labels, strict=True)
    ]
    return sum(right)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (0, 1, 2)])
def test_remapped_data_score_as_the_data_of_the_checkpoint(tmp_path, order):
    trained = make(tmp_path / "trained")
    trained.setup("fit")
    videos = trained.videos("val")
    answers = dict(zip(videos.paths, (0, 1, 0, 2), strict=True))
    other = make(tmp_path / "other", order, remap_labels=True)
    other.setup("test")
    if order != (0, 1, 2):
        assert other.videos("test").labels != videos.labels
    other.match_labels(trained.label_names)
    assert other.label_names == trained.label_names
    assert accuracy(other, "test", answers) == accuracy(trained, "val", answers) == 2
    assert other.videos("test").missing_labels == trained.videos("val").missing_labels


def test_splits_read_before_and_after_remapping_are_numbered_alike(tmp_path):
    data = make(tmp_path / "data", (2, 0, 1), remap_labels=True)
    data.setup("validate")
    data.match_labels(NAMES)
    data.setup("fit")
    data.setup("test")
    data.match_labels(NAMES)
    data.match_labels(NAMES)
    assert data.label_names == NAMES
    assert data.videos("train").labels == (0, 1, 2, 0, 1, 2)
    assert data.videos("val").labels == data.videos("test").labels == (0, 1, 2, 0)


def test_nothing_is_remapped_unasked(tmp_path):
    data = make(tmp_path / "data", (2, 0, 1))
    data.setup("validate")
    before = data.videos("val").labels
    data.match_labels(NAMES)
    assert data.videos("val").labels == before
    assert data.label_names != NAMES


def test_a_renamed_class_is_refused(tmp_path):
    data = make(tmp_path / "data", (2, 0, 1), remap_labels=True)
    data.setup("validate")
    with pytest.raises(
        ValueError, match=r"'Throwing something', is not among .*'Throwing anything'"
    ):
        data.match_labels([*NAMES[:2], "Throwing anything"])
