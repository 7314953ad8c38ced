"""Clips are named as trainings report them, however a table spells paths and labels."""

import re

import pytest

from pks4_lightning.cli.settings import resolve
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.experiments.folds import GroupedClip
from pks4_lightning.experiments.listed_clips import listed_clips

NAMES = ("1.webm", "2.webm", "day/3.webm", "#4.webm")


@pytest.fixture
def listed_in(tmp_path):
    """Return a function that reads a table of these files from its lines."""
    (tmp_path / "day").mkdir()
    for name in NAMES:
        (tmp_path / name).touch()

    def read(*lines, settings=()):
        (tmp_path / "clips.csv").write_text("\n".join(["path,label,group,split", *lines]))
        data = ["--data.root", str(tmp_path), "--data.train", "clips.csv", *settings]
        model = ["--model.classifier.num_classes", "2"]
        return listed_clips(resolve([*model, *data], looks_up=False))

    return read


@pytest.mark.parametrize(
    ("written", "path"),
    [
        *(("1", "1.webm"), ("./1.webm", "1.webm"), ("1.WEBM", "1.webm")),
        *(("day//3.webm", "day/3.webm"), ("day/3", "day/3.webm")),
        ("gone.webm", "gone.webm"),
    ],
)
def test_paths_are_those_on_disk(listed_in, written, path):
    assert listed_in(f"{written},wave,kitchen,") == [GroupedClip(path, "wave", "kitchen")]


def test_an_absolute_path_is_relative_to_the_videos(listed_in, tmp_path):
    (clip,) = listed_in(f"{tmp_path}/day/3.webm,wave,hall,")
    assert clip.path == "day/3.webm"
    settings = ["--data.videos", "day"]
    (clip,) = listed_in(f"{tmp_path}/day/3.webm,wave,hall,", settings=settings)
    assert clip.path == "3.webm"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["[Left] turn", "Left turn", "Right"], ["Left turn", "Left turn", "Right"]),
        (["01", "1", "0"], ["1", "1", "0"]),
        (["1.0", "0", "0"], ["1", "0", "0"]),
    ],
)
def test_labels_are_the_names_of_classes(listed_in, tmp_path, labels, names):
    lines = [f"{place + 1},{label},hall," for place, label in enumerate(labels[:2])]
    clips = listed_in(*lines, f"day/3,{labels[2]},hall,")
    layout = DataLayout(str(tmp_path), annotation_format="csv", train="clips.csv")
    read, known = layout.read("train"), layout.label_names()
    assert [clip.path for clip in clips] == list(read.paths)
    assert [clip.label for clip in clips] == [known[label] for label in read.labels]


def test_labels_may_be_numbers_of_a_list_of_names(listed_in, tmp_path):
    (tmp_path / "names.txt").write_text("Waving\nNodding\n")
    lines = ["1,1,hall,", "2,nodding,hall,", "day/3,00,hall,"]
    clips = listed_in(*lines, settings=["--data.labels", "names.txt"])
    assert [clip.label for clip in clips] == ["Nodding", "Nodding", "Waving"]


def test_clips_of_all_splits_are_listed(listed_in):
    clips = listed_in("1,a,hall,train", "2,b,hall,test", "day/3,c,hall,")
    assert [clip.label for clip in clips] == ["a", "b", "c"]


def test_a_name_that_a_table_would_read_as_a_comment_is_protected(listed_in):
    (clip,) = listed_in("./#4.webm,wave,hall,")
    assert clip.path == "./#4.webm"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["1,a,x,", "./1.webm,b,x,"],
            "lists the video './1.webm' twice, at entry 1 and at entry 2",
        ),
        (["/elsewhere/1.webm,a,x,"], "names '/elsewhere/1.webm' at entry 1, which lies outside"),
        (["../1.webm,a,x,"], "names '../1.webm' at entry 1"),
        (["1,wave,x,", "2,Wave,x,"], "the same label, 'Wave' and 'wave'"),
        (["1,-1,x,"], "gives the label -1 at entry 1; class numbers start at 0"),
    ],
)
def test_clips_that_no_training_could_report_are_refused(listed_in, lines, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        listed_in(*lines)
