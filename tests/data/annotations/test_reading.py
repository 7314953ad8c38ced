import json
import os

import pytest

from pks4_lightning.cli.errors import user_error
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
    [
        "my dog.mp4 0\nb/c.mp4 3\n",
        "my dog.mp4,0\n\nb/c.mp4, 3\n",
        '"my dog.mp4",0\nb/c.mp4,3',
        "my dog.mp4\t0\nb/c.mp4\t\t3\n",
        "'my dog.mp4' \"0\"\nb/c.mp4 '3'\n",
    ],
    ids=["spaces", "commas", "quotes", "tabs", "quoted labels"],
)
def test_reads_lists(tmp_path, content):
    file = write(tmp_path / "train.csv", content)
    assert detect_format(file).name == "list"
    entries = read_entries(file, FORMATS["list"])
    assert [entry[:2] for entry in entries] == [("my dog.mp4", "0"), ("b/c.mp4", "3")]


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("a.mp4,open door", "open door"),
        ("a.mp4\topen door", "open door"),
        ("a.mp4\topen, then close", "open, then close"),
        ("a.mp4,\topen", "open"),
        ('a.mp4 "open door"', "open door"),
        ("a.mp4 'open door'", "open door"),
        ("a.mp4 it's", "it's"),
    ],
)
def test_labels_of_lists_may_have_spaces(tmp_path, line, label):
    file = write(tmp_path / "train.txt", f"{line}\nb c.mp4 x\n")
    entries = read_entries(file, detect_format(file))
    assert [entry[:2] for entry in entries] == [("a.mp4", label), ("b c.mp4", "x")]


@pytest.mark.parametrize("line", ["a.mp4 open door", "a.mp4 open the door", "a.mp4\topen\tdoor"])
def test_a_label_whose_end_is_not_clear_is_refused(tmp_path, line):
    file = write(tmp_path / "train.txt", f"{line}\nb.mp4 x\n")
    with pytest.raises(ValueError, match=r"at line 1; .* 'path,label' if the label has spaces"):
        read_entries(file, detect_format(file))


ROWS = ["{}.mp4,0", "{}.mp4 wave", "id/{} wave", "{} 1"]


@pytest.mark.parametrize("header", ["clips,gesture", "clip name\tgesture", '"clips" "what"'])
@pytest.mark.parametrize("row", ROWS)
def test_a_header_of_unknown_words_is_no_video(tmp_path, header, row):
    rows = [row.format(number) for number in range(120)]
    file = write(tmp_path / "train.csv", "\n".join(["# mine", header, *rows]))
    message = "label '(gesture|what)' at line 2, which may be a header: call its columns path"
    with pytest.raises(ValueError, match=message):
        read_entries(file, detect_format(file))


@pytest.mark.parametrize(
    ("first", "row"),
    [
        *((first, row) for first in ("gone.mp4 go", "id0 go", "./intro go") for row in ROWS),
        ("intro wave", "{}.mp4 wave"),
        ("intro 3", "{}.mp4 1"),
        ("opening door", "closing{:.0s} door"),
    ],
)  # fmt: skip
def test_a_first_video_that_is_alone_in_its_class_is_no_header(tmp_path, first, row):
    file = write(tmp_path / "train.csv", f"{first}\n{row.format('7')}\n")
    assert len(read_entries(file, FORMATS["list"])) == 2


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
        ("k.csv", KINETICS.replace("59,", "soon,"), "the time 'soon' at line 2"),
        ("k.csv", KINETICS.replace("59,", "inf,"), "interval from inf to 69 seconds at line 2"),
        ("k.csv", KINETICS.replace(",69,", ",nan,"), "interval from 59 to nan seconds at line 2"),
        ("a.json", [{"id": None}], "a.json' gives the id None in entry 1; it must be text"),
        ("a.json", [{"id": "1"}, {"id": [2]}], r"gives the id \[2\] in entry 2"),
        ("a.json", [{"vid_name": {}, "label": 0}], "gives the vid_name {} in entry 1"),
        ("a.json", [{"vid_name": "a", "label": [1]}], r"gives 'a' the label \[1\]; Diving-48's"),
        ("f.txt", f"a {'9' * 5000} 0\n", "f.txt' reads '.* at line 1"),
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


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing", "dangling", "forbidden"])
def test_what_is_no_readable_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / "train.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "gone.csv")
    elif kind == "forbidden":
        path.touch(mode=0)
        if os.access(path, os.R_OK):
            pytest.skip("root may read any file")
    reasons = {"folder": "is a folder", "pipe": "is a pipe", "forbidden": "Permission denied"}
    with pytest.raises((ValueError, OSError)) as caught:
        read_entries(path, FORMATS["csv"])
    assert str(path) in str(caught.value)
    assert reasons.get(kind, "No such file") in str(caught.value)
    assert user_error(caught.value) == str(caught.value)


@pytest.mark.parametrize("name", [name for name, record in FORMATS.items() if record.is_folder])
def test_a_file_in_the_place_of_a_folder_is_one_sentence(tmp_path, name):
    file = write(tmp_path / "train.txt", "a.mp4 0\n")
    with pytest.raises(ValueError, match=f"train.txt' is not a folder, as data.format {name}"):
        read_entries(file, FORMATS[name])
