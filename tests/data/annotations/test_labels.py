import json

import pytest

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.labels import (
    label_entries,
    match_label_order,
    names_from_entries,
    read_label_names,
)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", {"Throwing something": "1", "Hold [something]": "0"}),
        ("labels.json", ["Hold something", "Throwing something"]),
        ("labels.txt", "Hold something\nThrowing something\n"),
        ("labels.csv", "id,name\n1,Throwing something\n0,Hold something\n"),
        ("classes.txt", "Throwing something, 1\nHold something, 0"),
    ],
)
def test_reads_label_names_by_index(tmp_path, name, content):
    file = write(tmp_path / name, content)
    assert read_label_names(file) == ["Hold something", "Throwing something"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": "0", "b": "2"}, "numbers 2 labels from 0 to 2"),
        ({"a": "0", "b": "0"}, "'b' the index '0', which is no number or is taken"),
        ({"a": "first"}, "'a' the index 'first'"),
        (["a b", "A_b"], "'a b' and 'A_b'"),
        ("3", "must map label names"),
        ([], "holds no labels"),
    ],
)
def test_label_names_must_be_clear(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_label_names(write(tmp_path / "labels.json", content))


def test_names_are_the_sorted_labels():
    entries = [Entry(str(i), label, "") for i, label in enumerate(["jump", "dive", "jump"])]
    assert names_from_entries(entries) == ["dive", "jump"]


def test_numbers_as_labels_are_indices(tmp_path):
    entries = [Entry(str(i), label, "") for i, label in enumerate(["10", "2"])]
    names = names_from_entries(entries)
    assert names == [str(i) for i in range(11)]
    assert label_entries(entries, names, tmp_path) == (10, 2)
    assert label_entries(entries[1:], ["a", "b", "c"], tmp_path) == (2,)


def test_underscores_and_case_of_labels_make_no_difference(tmp_path):
    entries = [Entry("1", "Riding_a bike", ""), Entry("2", "[something]", "")]
    assert label_entries(entries, ["something", "riding a bike"], tmp_path) == (1, 0)


def test_an_unknown_label_is_named_with_the_closest_ones(tmp_path):
    names = ["Holding something", "Folding something", "Throwing something", "Riding a bike"]
    entry = Entry("7", "Holdin something", "id 7")
    with pytest.raises(ValueError, match="unknown label 'Holdin something' at id 7") as caught:
        label_entries([entry], names, tmp_path / "train.json")
    assert "train.json" in str(caught.value)
    assert "'Holding something', 'Folding something'" in str(caught.value)
    assert "bike" not in str(caught.value)
    with pytest.raises(ValueError, match="resembles none of the 4"):
        label_entries([entry._replace(label="xyz")], names, tmp_path)
    with pytest.raises(ValueError, match="the label 4 at id 7; the 4 known ones are 0 to 3"):
        label_entries([entry._replace(label="4")], names, tmp_path)


def test_a_label_that_is_absent_is_named(tmp_path):
    with pytest.raises(ValueError, match="no label for '7' at id 7"):
        label_entries([Entry("7", None, "id 7")], ["a"], tmp_path)


@pytest.mark.parametrize(
    "content", ["1 ApplyEyeMakeup\r\n2 Archery\r\n", "2 Archery\n1 ApplyEyeMakeup\n"]
)
def test_reads_names_that_are_counted_from_one(tmp_path, content):
    file = write(tmp_path / "classInd.txt", content)
    assert read_label_names(file, first_index=1) == ["ApplyEyeMakeup", "Archery"]
    with pytest.raises(ValueError, match="numbers 2 labels from 1 to 2; indices must run from 0"):
        read_label_names(file)


def test_names_that_begin_with_numbers_are_names(tmp_path):
    file = write(tmp_path / "names.txt", "3 point shot\nfree throw\n")
    assert read_label_names(file) == ["3 point shot", "free throw"]


def test_reads_divings_attributes_as_one_name(tmp_path):
    vocabulary = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"]]
    file = write(tmp_path / "Diving48_vocab.json", vocabulary)
    assert read_label_names(file) == ["Back 15som 05Twis FREE", "Back 15som 15Twis FREE"]


def test_the_same_names_in_another_order_are_matched():
    assert match_label_order(data=["c", "A_b", "x"], wanted=["a b", "x", "C"]) == (2, 0, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["b", "bark"], r"Class 1 of the data, 'bark', is none of the 2 .*closest is 'bar'"),
        (["b"], r"Class 1 of the checkpoint, 'bar', is none of the 1 classes of the data"),
        (["b", "bar", "x"], r"Class 2 of the data, 'x', is none of the 2"),
    ],
)
def test_other_names_are_not_matched(data, message):
    with pytest.raises(ValueError, match=message):
        match_label_order(data=data, wanted=["b", "bar"])
