import json

import pytest

from pks4_lightning.data.annotations import (
    Entry,
    detect_format,
    find_videos,
    label_entries,
    names_from_entries,
    read_entries,
    read_label_names,
)

KINETICS = """label,youtube_id,time_start,time_end,split
"massaging person's head",-3B32lodo2M,59,69,train
abseiling,1bYBlzj-jsk,4,14,train
"""


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_reads_something_something(tmp_path):
    file = write(
        tmp_path / "train.json",
        [
            {
                "id": "78687",
                "label": "holding potato next to vicks vaporub bottle",
                "template": "Holding [something] next to [something]",
                "placeholders": ["potato", "vicks vaporub bottle"],
            },
            {"id": "42", "template": "Failing to put [something] because [it] does not fit"},
        ],
    )  # fmt: skip
    assert detect_format(file) == "ssv2"
    assert read_entries(file, "ssv2") == [
        Entry("78687", "Holding something next to something", "id 78687"),
        Entry("42", "Failing to put something because it does not fit", "id 42"),
    ]


def test_reads_kinetics(tmp_path):
    file = write(tmp_path / "train.csv", KINETICS)
    assert detect_format(file) == "kinetics"
    assert read_entries(file, "kinetics") == [
        Entry("-3B32lodo2M_000059_000069", "massaging person's head", "line 2"),
        Entry("1bYBlzj-jsk_000004_000014", "abseiling", "line 3"),
    ]


@pytest.mark.parametrize(
    "content",
    ["my dog.mp4 0\nb/c.mp4 3\n", "my dog.mp4,0\n\nb/c.mp4, 3\n", '"my dog.mp4",0\nb/c.mp4,3'],
    ids=["spaces", "commas", "quotes"],
)
def test_reads_lists(tmp_path, content):
    file = write(tmp_path / "train.csv", content)
    assert detect_format(file) == "list"
    entries = read_entries(file, "list")
    assert [entry[:2] for entry in entries] == [("my dog.mp4", "0"), ("b/c.mp4", "3")]


def test_reads_class_folders(tmp_path):
    for name in ("b/2.mp4", "a/x/1.webm", "b/1.MP4", "a/notes.txt", "a/.hidden.mp4"):
        write(tmp_path / name, "")
    assert detect_format(tmp_path) == "folder"
    assert [entry[:2] for entry in read_entries(tmp_path, "folder")] == [
        ("a/x/1.webm", "a"), ("b/1.MP4", "b"), ("b/2.mp4", "b")
    ]  # fmt: skip


def test_folders_behind_links_are_walked(tmp_path):
    write(tmp_path / "disk" / "1.mp4", "")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(tmp_path / "disk")
    assert find_videos(tmp_path / "data") == ["a/1.mp4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[{", "a.json' is no valid JSON: .* in line 1"),
        ("a.json", {"id": "1"}, "a.json' must be a JSON list"),
        ("a.json", [{"template": "x"}], "a.json' has no 'id' in its entry number 1"),
        ("a.json", [], "a.json' lists no videos"),
        ("a.json", [{"id": "1"}, {"id": "2"}, {"id": "1"}], "lists the video '1' twice, at id 1"),
        ("a.json", [{"id": "../../etc/passwd"}], "'../../etc/passwd' at id .* outside"),
        ("a.json", [{"id": "/etc/passwd"}], "'/etc/passwd' at id .* outside"),
        ("a.txt", "a.mp4 1\nb.mp4 1\na.mp4 2\n", "'a.mp4' twice, at line 1 and at line 3"),
        ("a.txt", "a.mp4\n", "reads 'a.mp4' at line 1; a line is 'path label'"),
        ("a.txt", "a.mp4,1,2\n", "reads 'a.mp4,1,2' at line 1"),
        ("a.txt", "\n\n", "a.txt' lists no videos"),
        ("k.csv", KINETICS.replace("59,", "soon,"), "the times 'soon' and '69' at line 2"),
        ("k.csv", KINETICS + "archery,1bYBlzj-jsk,4,14,train\n", "twice, at line 3 and at line 4"),
    ],
)  # fmt: skip
def test_malformed_files_are_named(tmp_path, name, content, message):
    file = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        read_entries(file, detect_format(file))


def test_rows_that_kinetics_repeats_count_once(tmp_path):
    file = write(tmp_path / "train.csv", KINETICS + KINETICS.splitlines()[2])
    assert len(read_entries(file, "kinetics")) == 2


def test_kinetics_without_its_columns_is_refused(tmp_path):
    file = write(tmp_path / "train.csv", "label,path\na,b\n")
    with pytest.raises(ValueError, match="has no column 'youtube_id'"):
        read_entries(file, "kinetics")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"train.txt' is no text in UTF-8"):
        detect_format(tmp_path / "train.txt")


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
