"""Grouped folds: whole groups, evenly distributed classes, errors."""

import csv
import random
from collections import Counter

import pytest

from pks4_lightning.data.annotations.reading import detect_format, read_entries
from pks4_lightning.experiments.folds import (
    GroupedClip,
    grouped_folds,
    read_clips,
    write_split,
)


def make_clips(groups_per_class=6, classes="abcd", seed=0):
    """Make clips of scenes, each of which contains some of the classes once or twice."""
    draw = random.Random(seed)
    return [
        GroupedClip(f"{label}/{scene}_{number}.mp4", label, f"scene{scene}")
        for scene in range(2 * groups_per_class)
        for label in draw.sample(classes, 2)
        for number in range(draw.randint(1, 2))
    ]


@pytest.mark.parametrize("num_folds", [2, 3, 5])
def test_a_group_lies_in_one_fold_and_every_fold_has_every_class(num_folds):
    clips = make_clips(10)
    folds = grouped_folds(clips, num_folds)
    of_group = {}
    for clip, fold in zip(clips, folds, strict=True):
        assert of_group.setdefault(clip.group, fold) == fold
    counts = Counter((clip.label, fold) for clip, fold in zip(clips, folds, strict=True))
    assert set(counts) == {(label, fold + 1) for label in "abcd" for fold in range(num_folds)}


def test_classes_are_spread_as_evenly_as_the_groups_allow():
    clips = [
        GroupedClip(f"{scene}_{label}", label, f"scene{scene}")
        for scene in range(20)
        for label in "ab"
    ]
    folds = grouped_folds(clips, 5)
    counts = Counter((clip.label, fold) for clip, fold in zip(clips, folds, strict=True))
    assert set(counts.values()) == {4}


def test_the_order_of_the_list_does_not_matter():
    clips = make_clips(10)
    shuffled = random.Random(1).sample(clips, len(clips))
    of_clip = dict(zip(clips, grouped_folds(clips, 4), strict=True))
    assert grouped_folds(shuffled, 4) == [of_clip[clip] for clip in shuffled]


def test_fewer_groups_than_folds_are_refused():
    with pytest.raises(ValueError, match=r"12 groups are too few for 13 folds: .* at most 12"):
        grouped_folds(make_clips(6), 13)


def test_a_class_that_a_fold_would_lack_is_named():
    rare = [GroupedClip("e/0.mp4", "wave", "scene0"), GroupedClip("e/1.mp4", "wave", "scene1")]
    with pytest.raises(ValueError, match=r"no clip of the class 'wave', whose 2 clips .* 2 groups"):
        grouped_folds([*make_clips(10), *rare], 3)


def test_a_single_fold_is_refused():
    with pytest.raises(ValueError, match=r"folds \(1\) must be at least 2"):
        grouped_folds(make_clips(), 1)


def test_the_lists_of_all_folds_test_every_clip_once(tmp_path):
    clips = make_clips(10)
    folds = grouped_folds(clips, 3)
    tested = []
    for number in (1, 2, 3):
        write_split(tmp_path / "list.csv", clips, folds, test=number)
        with (tmp_path / "list.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert [line["path"] for line in lines] == [clip.path for clip in clips]
        tested += [line["path"] for line in lines if line["split"] == "test"]
    assert sorted(tested) == sorted(clip.path for clip in clips)


def test_an_inner_split_leaves_the_fold_out(tmp_path):
    clips = make_clips(10)
    folds = grouped_folds(clips, 3)
    write_split(tmp_path / "list.csv", clips, folds, test=2, unused=1)
    with (tmp_path / "list.csv").open(newline="") as file:
        split = {line["path"]: line["split"] for line in csv.DictReader(file)}
    expected = {1: None, 2: "test", 3: "train"}
    assert all(
        split.get(clip.path) == expected[fold] for clip, fold in zip(clips, folds, strict=True)
    )


def test_a_table_is_read(tmp_path):
    path = tmp_path / "clips.csv"
    path.write_text("path,label,group,note\na.mp4,wave, kitchen,x\nb.mp4,nod,hall,\n")
    assert read_clips(path) == [
        GroupedClip("a.mp4", "wave", "kitchen"),
        GroupedClip("b.mp4", "nod", "hall"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Path,Label,Group\na.mp4,wave,kitchen\n",
        "\ufeffpath;label;group\na.mp4;wave;kitchen\n",
        "video\tclass\tgroup\na.mp4\twave\tkitchen\n",
        "# mine\npath,label,group\n# no.mp4,nod,hall\n\na.mp4,wave,kitchen\n",
        ",path,label,group\n0,a.mp4,wave,kitchen\n",
    ],
    ids=["capitals", "semicolons", "tabs", "comments", "index"],
)
def test_a_table_is_read_as_a_training_reads_it(tmp_path, text):
    path = tmp_path / "clips.csv"
    path.write_text(text, encoding="utf-8")
    (entry,) = read_entries(path, detect_format(path))
    assert read_clips(path) == [GroupedClip("a.mp4", "wave", "kitchen")]
    assert (entry.video, entry.label) == ("a.mp4", "wave")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.mp4,wave\n", "has no column group"),
        ("path,label,group\na.mp4,wave,\n", "lacks a value at line 2"),
        ("path,label,group\na.mp4,wave\n", "lacks a value at line 2"),
        ("path,label,group\na.mp4,wave,1\na.mp4,nod,1\n", "lists a.mp4 twice"),
        ("path,label,group\na, b.mp4,wave,1\n", "has 4 values at line 2 and 3 columns"),
        ("path,label,group\n", "lists no clips"),
        ("path,label,group\na.mp4,gr\u00fc\u00dfen,1\n", "is not UTF-8 text"),
    ],
)
def test_a_table_that_groups_nothing_is_refused(tmp_path, text, message):
    (tmp_path / "clips.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        read_clips(tmp_path / "clips.csv")


def test_a_missing_table_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table of clips .*nowhere"):
        read_clips(tmp_path / "nowhere.csv")
