import json

import pytest

from pks4_lightning.data.annotations.entry import Entry
from pks4_lightning.data.annotations.reading import FORMATS, detect_format, read_entries
from pks4_lightning.data.annotations.walking import find_videos

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
    assert detect_format(file).name == "ssv2"
    assert read_entries(file, FORMATS["ssv2"]) == [
        Entry("78687", "Holding something next to something", "id 78687"),
        Entry("42", "Failing to put something because it does not fit", "id 42"),
    ]


def test_reads_kinetics(tmp_path):
    file = write(tmp_path / "train.csv", KINETICS)
    assert detect_format(file).name == "kinetics"
    assert read_entries(file, FORMATS["kinetics"]) == [
        Entry("-3B32lodo2M_000059_000069", "massaging person's head", "line 2", split="train"),
        Entry("1bYBlzj-jsk_000004_000014", "abseiling", "line 3", split="train"),
    ]


@pytest.mark.parametrize(
    "content",
    ["my dog.mp4 0\nb/c.mp4 3\n", "my dog.mp4,0\n\nb/c.mp4, 3\n", '"my dog.mp4",0\nb/c.mp4,3'],
    ids=["spaces", "commas", "quotes"],
)
def test_reads_lists(tmp_path, content):
    file = write(tmp_path / "train.csv", content)
    assert detect_format(file).name == "list"
    entries = read_entries(file, FORMATS["list"])
    assert [entry[:2] for entry in entries] == [("my dog.mp4", "0"), ("b/c.mp4", "3")]


def test_reads_class_folders(tmp_path):
    for name in ("b/2.mp4", "a/x/1.webm", "b/1.MP4", "a/notes.txt", "a/.hidden.mp4"):
        write(tmp_path / name, "")
    assert detect_format(tmp_path).name == "folder"
    assert [entry[:2] for entry in read_entries(tmp_path, FORMATS["folder"])] == [
        ("a/x/1.webm", "a"), ("b/1.MP4", "b"), ("b/2.mp4", "b")
    ]  # fmt: skip


def test_folders_behind_links_are_walked(tmp_path):
    write(tmp_path / "disk" / "1.mp4", "")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(tmp_path / "disk")
    assert find_videos(tmp_path / "data") == ["a/1.mp4"]


def test_links_that_lead_back_are_not_followed(tmp_path):
    write(tmp_path / "a" / "1.mp4", "")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert find_videos(tmp_path) == ["a/1.mp4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[{", "a.json' is not valid JSON: .* in line 1"),
        ("a.json", {"id": "1"}, "a.json' must be a JSON list"),
        ("a.json", [{"template": "x"}], "a.json' has no 'id' in entry 1"),
        ("a.json", [], "a.json' lists no videos"),
        ("a.json", [{"id": "1"}, {"id": "2"}, {"id": "1"}], "lists the video '1' twice, at id 1"),
        ("a.json", [{"id": "../../etc/passwd"}], "'../../etc/passwd' at id .* that leads out of"),
        ("a.json", [{"id": "/etc/passwd"}], "'/etc/passwd' at id .* a path that is absolute"),
        ("a.txt", "a.mp4 1\nb.mp4 1\na.mp4 2\n", "'a.mp4' twice, at line 1 and at line 3"),
        ("a.txt", "a.mp4 1\n./a.mp4 2\n", "'./a.mp4' twice, at line 1 and at line 2"),
        ("a.txt", "c/a.mp4 1\nc//b/../a.mp4 2\n", "a.mp4' twice, at line 1 and at line 2"),
        ("a.txt", "/c/a.mp4 1\n/c/./a.mp4 2\n", "a.mp4' twice, at line 1 and at line 2"),
        ("a.txt", "a/b 9 1\na/b/ 9 2\n", "'a/b/' twice, at line 1 and at line 2"),
        ("a.csv", "path,label\na.mp4,left\n./a.mp4,right\n", "twice, at line 2 and at line 3"),
        ("a.txt", "a.mp4\n", "reads 'a.mp4' at line 1; a line must be 'path label'"),
        ("a.txt", "a.mp4,1,2\n", "reads 'a.mp4,1,2' at line 1"),
        ("a.txt", "\n\n", "a.txt' lists no videos"),
        ("k.csv", KINETICS.replace("59,", "soon,"), "the times 'soon' and '69' at line 2"),
    ],
)  # fmt: skip
def test_malformed_files_are_named(tmp_path, name, content, message):
    file = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        read_entries(file, detect_format(file))


def test_rows_that_kinetics_repeats_count_once(tmp_path):
    file = write(tmp_path / "train.csv", KINETICS + KINETICS.splitlines()[2])
    assert len(read_entries(file, FORMATS["kinetics"])) == 2


def test_a_clip_that_kinetics_labels_twice_counts_twice_and_is_reported(tmp_path, caplog):
    file = write(tmp_path / "train.csv", KINETICS + "archery,1bYBlzj-jsk,4,14,train\n")
    assert [entry.label for entry in read_entries(file, FORMATS["kinetics"])][1:] == [
        "abseiling",
        "archery",
    ]
    assert "1 clips more than one label, such as '1bYBlzj-jsk_000004_000014'" in caplog.text


def test_kinetics_without_its_columns_is_refused(tmp_path):
    file = write(tmp_path / "train.csv", "label,path\na,b\n")
    with pytest.raises(ValueError, match="has no column 'youtube_id'"):
        read_entries(file, FORMATS["kinetics"])


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"train.txt' is not UTF-8 text"):
        detect_format(tmp_path / "train.txt")
