import json
import unicodedata
from pathlib import Path

import pytest

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.label_lists import read_label_names
from pks4_lightning.data.annotations.labels import ClassNames, match_label_order


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
        ("names.txt", '\ufeff"Hold something"\n"Throwing something"\n'),
        *(
            ("labels.csv", content)
            for content in (
                "label_id,label_name\n0,Hold something\n1,Throwing something\n",
                '"id","name"\n"1","Throwing something"\n"0","Hold something"\n',
                "id, name\n0, Hold something\n1, Throwing something\n",
                "ID,Name\r\n0,Hold something\r\n1,Throwing something\r\n",
                "id;name\n0;Hold something\n1;Throwing something\n",
                "id\tname\n0\tHold something\n1\tThrowing something\n",
                "name,index\nHold something,0\nThrowing something,1\n",
                "class,label\n0,Hold something\n1,Throwing something\n",
                ",name\n0,Hold something\n1,Throwing something\n",
                "id,colour,name\n0,red,Hold something\n1,red,Throwing something\n",
                "# mine\nHold something\n# another\nThrowing something\n",
                "# mine\nid,name\n0,Hold something\n# one\n1,Throwing something\n",
                "0: Hold something\n1: Throwing something\n",
                "1. Throwing something\n0. Hold something\n",
                "0) Hold something\n1) Throwing something\n",
                "0 - Hold something\n1 - Throwing something\n",
                "0 => Hold something\n1 => Throwing something\n",
                "Throwing something=1\nHold something=0\n",
                "Throwing something: 1\nHold something: 0\n",
                "Throwing something 1\nHold something 0\n",
                "0;Hold something\n1;Throwing something\n",
                "0\tHold something\n1\tThrowing something\n",
            )
        ),
    ],
)
def test_reads_label_names_by_index(tmp_path, name, content):
    file = write(tmp_path / name, content)
    assert read_label_names(file) == ["Hold something", "Throwing something"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": "0", "b": "2"}, "numbers 2 labels from 0 to 2"),
        ({"a": "0", "b": "0"}, "'b' the index '0', which is not an integer or is already used"),
        ({"a": "first"}, "'a' the index 'first'"),
        (["a b", "A_b"], "'a b' and 'A_b'"),
        ("3", "must map label names"),
        ([], "contains no labels"),
        (["a", None], "class 1 the name None; names must be text"),
        (["a", {"b": 1}], "class 1 the name {'b': 1}"),
        (["a", ["b", []]], r"class 1 the name \['b', \[\]\]"),
        ({"a": "9" * 5000}, r"the index '9+\.\.\.9+', which is not an integer"),
    ],
)
def test_label_names_must_be_clear(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_label_names(write(tmp_path / "labels.json", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name\nleft\nright\n", "begins with 'name', which may be a header or a class"),
        ("Class Name\nleft\nright\n", "begins with 'Class Name', which may be a header"),
        ("id name\n1 left\n2 right\n", "begins with 'id name', which may be a header"),
        ("nr;gesture\n0;left\n1;right\n", "reads 'nr;gesture' where the other lines"),
        ("left\n1,right\n2,up\n", "reads 'left' where the other lines"),
        ("left,0\nright\nup,2\n", "reads 'right' where the other lines"),
        ("0,left\n1,right\n2,left\n", "'left' two indices, 0 and 2"),
        ("id,name\n0,left\n1,right\n1,up\n", "'up' the index '1', which .* already used"),
        ("left\nright\nLeft\n", "classes 0 and 2 the same label, 'left' and 'Left'"),
        ("0 fingers\n1 finger\n2 fingers\n", "'fingers' two indices, .*in quotation marks"),
        ("kick 2\npunch 1\n", "from 1 to 2; indices must run from 0 .* begins or ends with a"),
        ("1. left\n2. right\n", "from 1 to 2; indices must run from 0"),
        ("0: left\n2: right\n", "from 0 to 2; indices must run from 0"),
        ("left\n1. right\n2. up\n", "reads 'left' where the other lines"),
        ("1 finger\n2 fingers\n", "must run from 0 without gaps; .*in quotation marks"),
        ("id,name\n", "contains no labels"),
        ("id,name\n0\n", "has 1 values at line 2 and 2 columns"),
        ("id,name\n0,\n", "gives no name at line 2"),
        ("id,name\nleft,0\n", "'0' the index 'left', which is not an integer"),
        ("name,id\na, b,0\n", "has 3 values at line 2 and 2 columns"),
    ],
)
def test_lists_that_would_shift_or_lose_a_class_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"labels.csv' .*{message}"):
        read_label_names(write(tmp_path / "labels.csv", content))


@pytest.mark.parametrize(
    "names",
    [
        ["Lifting something up completely, then letting it drop down", "Holding something"],
        ["left", "name", "class"],
        ["3 point shot", "free throw", "2 hands"],
        ["fist", "1 finger", "2 fingers"],
        ["1, 2, 3, go", "stop", "run"],
        ["Turn left; stop", "Turn right; stop"],
        ["index", "thumb"],
        ["step 1", "step 2", "step 3"],
        ["step 1", "step 0"],
        ["level 5", "jump 10"],
        ["kick 1", "punch 2", "block"],
        ["score: 1", "score: 2"],
        ["only 1"],
    ],
)
def test_plain_names_are_read_as_they_are(tmp_path, names):
    assert read_label_names(write(tmp_path / "labels.txt", "\n".join(names))) == names


def test_names_with_commas_may_be_unquoted_behind_an_index(tmp_path):
    for content in ("0,a, b\n1,c\n", "id,name\n0,a, b\n1,c\n", 'id,name\n0,"a, b"\n1,c\n'):
        assert read_label_names(write(tmp_path / "labels.csv", content)) == ["a, b", "c"]


LIST = Path("train.txt")


def entries(*labels):
    return [Entry(f"{n}.mp4", label, f"line {n}") for n, label in enumerate(labels, start=1)]


def of(*labels, are_numbers=True):
    return ClassNames.of_entries(entries(*labels), LIST, are_numbers=are_numbers)


def listed(*names):
    return ClassNames(names, Path("labels.txt"), is_list=True)


def indices(classes, *labels, are_numbers=True):
    return classes.indices(entries(*labels), Path("val.txt"), are_numbers=are_numbers)


def test_names_are_the_sorted_labels():
    assert of("jump", "dive", "jump").names == ("dive", "jump")
    assert of("jump", "dive", are_numbers=False).names == ("dive", "jump")


def test_underscores_and_case_of_labels_make_no_difference():
    assert indices(listed("something", "riding a bike"), "Riding_a bike", "[something]") == (1, 0)


@pytest.mark.parametrize("labels", [("10", "2"), ("10.0", "2.0"), ("2.", "+10"), ("010", "02")])
def test_numbers_in_lists_count_the_classes(labels):
    classes = of(*labels)
    assert classes.names == tuple(map(str, range(11)))
    assert indices(classes, "10", "2.0", "0") == (10, 2, 0)


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("1", "2", "3"), ("1", "2", "3")),
        (("007", "010"), ("007", "010")),
        (("2019", "2020"), ("2019", "2020")),
        (("10", "9", "1"), ("1", "9", "10")),
        (("20210405", "20210406"), ("20210405", "20210406")),
        (("0.0", "10.0", "2.0", "2.5"), ("0.0", "2.0", "2.5", "10.0")),
        (("-1", "0", "1"), ("-1", "0", "1")),
        (("1", "walk", "2"), ("1", "2", "walk")),
    ],
)
def test_digits_as_names_of_folders_are_names(folders, names):
    classes = of(*folders, are_numbers=False)
    assert classes.names == names
    assert indices(classes, *names, are_numbers=False) == tuple(range(len(names)))
    with pytest.raises(ValueError, match=r"gives the unknown label '0' at|unknown label '4'"):
        indices(classes, "4" if "0" in names else "0", are_numbers=False)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("20210405", "20210406"), r"20210406 at line 2, which is too large .* 2 different .*name"),
        (("0", "2147483647"), r"2147483647 at line 2, which is too large"),
        (("2019", "2020"), "2020 at line 2, which is too large"),
        (("0.5", "1"), r"0.5 at line 1; numbers of classes must be integers; .*data.labels"),
        (("0", "-1"), r"-1 at line 2; class numbers start at 0, so remove"),
        (("walk", "-1"), "-1 at line 2"),
        (("1.0", "-2.0"), r"-2.0 at line 2"),
    ],
)
def test_numbers_that_count_no_classes_are_refused(labels, message):
    with pytest.raises(ValueError, match=f"^'train.txt' gives the label {message}"):
        of(*labels)


def test_many_classes_may_have_large_numbers():
    assert len(of(*map(str, range(0, 9_000, 10))).names) == 8_991
    assert len(of("0", "999").names) == 1_000


def test_a_number_is_a_position_in_a_list_of_names_only():
    assert indices(listed("a", "b", "c"), "2", "0.0", "b") == (2, 0, 1)
    assert indices(listed("2019", "2020"), "2020") == (1,), "a name is a name first"
    with pytest.raises(ValueError, match=r"unknown label '0' at line 1"):
        indices(listed("2019", "2020"), "0")
    with pytest.raises(ValueError, match=r"label 3 at line 1; the 3 known labels are 0 to 2"):
        indices(listed("a", "b", "c"), "3")
    with pytest.raises(ValueError, match=r"unknown label '1' at line 1"):
        indices(listed("a", "b", "c"), "1", are_numbers=False)


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (("walk", "run"), "0", r"'0' at line 1, a number, but 'train.txt' names .*'run', 'walk'"),
        (("walk", "run"), "1.0", r"'1.0' at line 1, a number, but 'train.txt' names"),
        (("0", "1"), "walk", r"'walk' at line 1, a name, but 'train.txt' numbers .*'0', '1'"),
        (("walk", "3"), "1", r"'1' at line 1, a number, but 'train.txt' names"),
    ],
)
def test_names_in_one_split_and_numbers_in_another_are_refused(train, val, message):
    with pytest.raises(ValueError, match=rf"^'val.txt' gives the label {message}.*data.labels"):
        indices(of(*train), val)


def test_accents_in_either_form_are_the_same_name():
    one, two = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert of(one, two).names == (one,)
    assert indices(listed(two, "bar"), one) == (0,)
    assert match_label_order(data=[one], wanted=[two]) == (0,)


def test_an_unknown_label_is_named_with_the_closest_ones():
    classes = listed("Holding something", "Folding something", "Throwing something", "Riding")
    with pytest.raises(ValueError, match="unknown label 'Holdin something' at line 1") as caught:
        indices(classes, "Holdin something")
    assert "val.txt" in str(caught.value)
    assert "'Holding something', 'Folding something'" in str(caught.value)
    assert "Riding" not in str(caught.value)
    with pytest.raises(ValueError, match="resembles none of the 4"):
        indices(classes, "xyz")
    with pytest.raises(ValueError, match="the label 4 at line 1; the 4 known labels are 0 to 3"):
        indices(classes, "4")


def test_a_label_that_is_absent_is_named():
    with pytest.raises(ValueError, match=r"no label for '1.mp4' at line 1"):
        indices(listed("a"), None)


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
        (["b", "bark"], r"Class 1 of the data, 'bark', is not among the 2 .*closest is 'bar'"),
        (["b"], r"Class 1 of the checkpoint, 'bar', is not among the 1 classes of the data"),
        (["b", "bar", "x"], r"Class 2 of the data, 'x', is not among the 2"),
    ],
)
def test_other_names_are_not_matched(data, message):
    with pytest.raises(ValueError, match=message):
        match_label_order(data=data, wanted=["b", "bar"])
