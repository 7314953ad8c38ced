import json
import logging
import unicodedata

import pytest

from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.prediction import list_for_prediction

NFC = unicodedata.normalize("NFC", "café.webm")
NFD = unicodedata.normalize("NFD", "café.webm")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def kinetics_tree(root):
    header = "label,youtube_id,time_start,time_end,split\n"
    (root / "train.csv").write_text(
        header + "zumba,AAAAAAAAAAA,12,22,train\nair drumming,BBBBBBBBBBB,0,10,train\n"
        "zumba,CC_CCCCCCCC,1,11,train\n"
    )
    (root / "validate.csv").write_text(header + "air drumming,DDDDDDDDDDD,3,13,validate\n")
    return touch(
        root,
        "train/zumba/AAAAAAAAAAA_000012_000022.mp4",
        "train/air_drumming/BBBBBBBBBBB.mp4",
        "val/air drumming/DDDDDDDDDDD_000003_000013.mp4",
    )


def test_something_something_needs_the_root_alone(ssv2_root):
    layout = DataLayout(str(ssv2_root))
    videos = layout.read("train")
    assert videos.paths == tuple(f"{number}.webm" for number in range(1001, 1008))
    assert videos.labels == tuple(number % 3 for number in range(1001, 1008))
    assert videos.path(0) == str(ssv2_root / "20bn-something-something-v2" / "1001.webm")
    assert layout.label_names()[1] == "Pulling something from left to right"


def test_published_test_videos_have_no_labels_so_testing_takes_the_validation_split(ssv2_root):
    assert DataLayout(str(ssv2_root)).read("test").source.endswith("validation.json")


def test_a_test_split_with_labels_is_taken(tmp_path):
    (tmp_path / "labels.json").write_text('{"a": "0"}')
    for split, number in (("train", "1"), ("validation", "2"), ("test", "3")):
        entry = [{"id": number, "template": "[a]"}]
        (tmp_path / f"something-something-v2-{split}.json").write_text(json.dumps(entry))
        touch(tmp_path, f"anywhere/{number}.mp4")
    layout = DataLayout(str(tmp_path))
    assert layout.read("test").paths == ("3.mp4",)
    assert layout.read("val").folder == str(tmp_path / "anywhere")


def test_kinetics_needs_the_root_alone(tmp_path, caplog):
    layout = DataLayout(str(kinetics_tree(tmp_path)), allow_missing=0.4)
    with caplog.at_level(logging.WARNING):
        train = layout.read("train")
    assert layout.label_names() == ["air drumming", "zumba"]
    assert train.paths == (
        "train/zumba/AAAAAAAAAAA_000012_000022.mp4",
        "train/air_drumming/BBBBBBBBBBB.mp4",
    )
    assert train.labels == (1, 0)
    assert layout.read("test").labels == (0,)


def test_videos_that_kinetics_lacks_are_counted(tmp_path, caplog):
    layout = DataLayout(str(kinetics_tree(tmp_path)), allow_missing=0.4)
    train = layout.read("train")
    assert train.missing == ("CC_CCCCCCCC_000001_000011",)
    assert train.missing_labels == (1,)
    assert "1 of the 3 videos" in caplog.text
    assert "'CC_CCCCCCCC_000001_000011' (line 4)" in caplog.text


def test_kinetics_without_any_video_is_an_error(tmp_path):
    kinetics_tree(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    layout = DataLayout(str(tmp_path), videos="elsewhere")
    with pytest.raises(FileNotFoundError, match=r"None of the 3 videos.*set data.videos"):
        layout.read("train")


def test_class_folders(tmp_path):
    touch(tmp_path, "train/wave/1.mp4", "train/nod/2.mp4", "val/wave/3.mp4")
    layout = DataLayout(str(tmp_path))
    assert layout.read("train").labels == (0, 1)
    assert layout.label_names() == ["nod", "wave"]
    assert layout.read("val").labels == (1,)
    assert layout.read("test").path(0) == str(tmp_path / "val/wave/3.mp4")


def test_a_class_folder_that_training_does_not_know(tmp_path):
    touch(tmp_path, "train/wave/1.mp4", "val/waves/3.mp4")
    with pytest.raises(ValueError, match=r"unknown label 'waves' at 'waves/3.mp4'.*'wave'"):
        DataLayout(str(tmp_path)).read("val")


def test_lists_with_relative_and_absolute_paths(tmp_path):
    touch(tmp_path, "clips/1.mp4", "clips/2.mp4", "clips/3.mp4")
    (tmp_path / "train.txt").write_text(f"clips/1.mp4 run\n{tmp_path}/clips/2.mp4 jump\n")
    (tmp_path / "my_val.csv").write_text("clips/3.mp4,jump\n")
    layout = DataLayout(str(tmp_path), val="my_val.csv")
    assert layout.read("train").paths == ("clips/1.mp4", "clips/2.mp4")
    assert layout.read("train").labels == (1, 0)
    assert layout.read("val").labels == (0,)


def test_a_folder_as_the_list_of_labels_is_one_sentence(tmp_path):
    touch(tmp_path, "1.mp4", "names/1.txt")
    (tmp_path / "train.txt").write_text("1.mp4 run\n")
    with pytest.raises(ValueError, match=r"names' is a folder; name a file that can be read\.$"):
        DataLayout(str(tmp_path), labels="names").read("train")


def test_named_labels_decide_the_order(tmp_path):
    touch(tmp_path, "1.mp4", "2.mp4")
    (tmp_path / "train.txt").write_text("1.mp4 run\n2.mp4 jump\n")
    (tmp_path / "names.txt").write_text("run\nswim\njump\n")
    layout = DataLayout(str(tmp_path), labels="names.txt")
    assert layout.read("train").labels == (0, 2)


@pytest.mark.parametrize("path", ["../secret.mp4", "/etc/secret.mp4", "clips/../../secret.mp4"])
def test_paths_that_leave_the_root_are_refused(tmp_path, path):
    (tmp_path / "train.txt").write_text(f"{path} 0\n")
    with pytest.raises(
        ValueError, match=f"'{path}' at line 1, (which lies outside|a path that leads out)"
    ):
        DataLayout(str(tmp_path)).read("train")


@pytest.mark.parametrize(
    "path",
    [
        "concat:1.mp4|2.mp4", "subfile,,start,0,end,9,,:1.mp4", "http://host/1.mp4", "../1.mp4",
        "file:1.mp4", "~/1.mp4", "a/../../1.mp4", "1\u202e.mp4", "C:\\1.mp4", "a\x00.mp4",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["list", "csv", "frames", "diving48", "ssv2"])
def test_hostile_paths_are_refused_in_every_format(tmp_path, path, kind):
    name, content = {
        "list": ("train.txt", f"{path} 0\n"),
        "csv": ("train.csv", f"path\tlabel\n{path}\t0\n"),
        "frames": ("train.txt", f"{path} 3 0\n"),
        "diving48": ("train.json", json.dumps([{"vid_name": path, "label": 0}])),
        "ssv2": ("train.json", json.dumps([{"id": path, "template": "x"}])),
    }[kind]
    (tmp_path / name).write_text(content)
    (tmp_path / "labels.json").write_text('{"x": "0"}')
    layout = DataLayout(str(tmp_path), annotation_format=kind, train=name, labels="labels.json")
    with pytest.raises(
        ValueError, match=rf"{name}' (names '.*' at .*, a path that|reads '.*' at)"
    ) as caught:
        layout.read("train")
    assert str(caught.value).isprintable()


def test_an_empty_root_is_not_the_current_folder():
    with pytest.raises(ValueError, match=r"data\.root is empty; set it to the folder"):
        DataLayout("")


def test_a_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path}/none'; set data.root"):
        DataLayout(f"{tmp_path}/none")


def test_a_missing_annotation_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data.train names '.*mine.json'"):
        DataLayout(str(tmp_path), train="mine.json").read("train")


def test_an_empty_root_is_reported_with_the_expected_files(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"looked for train, COIN.json, train.xml, .*; set data.train"
    ):
        DataLayout(str(tmp_path)).read("train")


def test_templates_without_numbers_are_an_error(tmp_path):
    (tmp_path / "train.json").write_text('[{"id": "1", "template": "x"}]')
    with pytest.raises(FileNotFoundError, match=r"no labels.json .*set data.labels"):
        DataLayout(str(tmp_path)).read("train")


def test_every_missing_video_is_counted_and_too_many_are_refused(tmp_path, caplog):
    touch(tmp_path, *(f"{i}.mp4" for i in range(200) if i not in (42, 77)))
    (tmp_path / "train.txt").write_text("".join(f"{i}.mp4 {i % 2}\n" for i in range(200)))
    train = DataLayout(str(tmp_path)).read("train")
    assert (len(train), train.missing, train.missing_labels) == (198, ("42.mp4", "77.mp4"), (0, 1))
    assert "2 of the 200 videos" in caplog.text
    (tmp_path / "5.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"3 of the 200 .*'5.mp4' \(line 6\)") as caught:
        DataLayout(str(tmp_path)).read("train")
    assert "--data.allow_missing 0.02" in str(caught.value)
    assert len(DataLayout(str(tmp_path), allow_missing=0.02).read("train").missing) == 3
    with pytest.raises(FileNotFoundError, match="3 of the 200"):
        DataLayout(str(tmp_path), allow_missing=0).read("train")


def test_a_share_of_missing_videos_is_a_share(tmp_path):
    with pytest.raises(
        ValueError, match=r"data.allow_missing is 3; it must be a share from 0 to 1"
    ):
        DataLayout(str(tmp_path), allow_missing=3)


def test_missing_something_something_videos_are_found(tmp_path):
    (tmp_path / "labels.json").write_text('{"x": "0"}')
    (tmp_path / "train.json").write_text('[{"id": "1", "template": "x"}]')
    with pytest.raises(FileNotFoundError, match=r"None of the 1 .*'1' \(id 1\); set data.videos"):
        DataLayout(str(tmp_path)).read("train")


def test_prediction_takes_a_video_a_folder_or_a_list(tmp_path):
    touch(tmp_path, "in/b.mp4", "in/deep/a.webm", "in/notes.md")
    one = list_for_prediction(str(tmp_path / "in/b.mp4"))
    assert [one.path(0)] == [str(tmp_path / "in/b.mp4")]
    assert one.labels == (-1,)
    folder = list_for_prediction(str(tmp_path / "in"))
    assert folder.paths == ("b.mp4", "deep/a.webm")
    (tmp_path / "list.txt").write_text(f"in/deep/a.webm\n\n{tmp_path}/in/b.mp4\n")
    listed = list_for_prediction(str(tmp_path / "list.txt"))
    assert listed.path(0) == str(tmp_path / "in/deep/a.webm")
    assert listed.path(1) == str(tmp_path / "in/b.mp4")
    assert listed.missing == ()


def test_a_list_to_predict_is_read_as_people_and_systems_write_it(tmp_path, caplog):
    touch(tmp_path, "in/my clip.mp4", "in/b.mp4", "in/-0IErS_cisg.webm", "in/#1.mp4", f"in/{NFD}")
    lines = [
        "# chosen by hand", '"in/my clip.mp4"', "in\\b.MP4", "./in/-0IErS_cisg.webm",
        "in/#1.mp4", f"'in/{NFC}'", "#in/not this.mp4", "in/gone.mp4",
    ]  # fmt: skip
    (tmp_path / "list.txt").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    listed = list_for_prediction(str(tmp_path / "list.txt"))
    names = ("my clip.mp4", "b.mp4", "-0IErS_cisg.webm", "#1.mp4", NFD)
    assert listed.paths == tuple(f"in/{name}" for name in names)
    assert (listed.missing, listed.missing_labels) == (("in/gone.mp4",), (-1,))
    assert "1 of its 6 videos" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.txt", "{0} run\n{1} walk\n"),
        ("train.txt", '# mine\n"{0}" run\n\n#gone.mp4 walk\n{1} walk\n'),
        ("train.csv", '# mine\n\npath,label\n"{0}",run\n# a comment\n{1},walk\n'),
        ("train_videofolder.txt", "{0} 3 0\n'{1}' 3 1\n"),
    ],
)
@pytest.mark.parametrize(
    ("listed", "on_disk"),
    [
        (f"a/{NFC}", f"a/{NFD}"),
        (f"a/{NFD}", f"a/{NFC}"),
        (f"{NFC[:4]}/1.webm", f"{NFD[:5]}/1.webm"),
        ("a\\1.webm", "a/1.webm"),
        ("a/1.WEBM", "a/1.webm"),
        ("a/1.webm", "a/1.Webm"),
        ("-9 a.webm", "-9 a.webm"),
        ("a\\b 1.MKV", "a/b 1.mkv"),
    ],
)
def test_systems_spell_paths_differently(tmp_path, name, content, listed, on_disk):
    touch(tmp_path, on_disk, "2.mp4")
    (tmp_path / name).write_text(content.format(listed, "2.mp4"))
    kind = "frames" if "folder" in name else "auto"
    train = DataLayout(str(tmp_path), annotation_format=kind).read("train")
    assert train.paths == (on_disk, "2.mp4")
    assert train.labels == (0, 1)


@pytest.mark.parametrize("other", ["{}/a/1.mp4", "./a/1.mp4", "a\\1.mp4", "a/1", f"a/{NFD}"])
def test_a_video_is_listed_once_in_whatever_spelling(tmp_path, other):
    touch(tmp_path, "a/1.mp4", f"a/{NFC}")
    first = f"a/{NFC}" if other.endswith(NFD) else "a/1.mp4"
    (tmp_path / "train.txt").write_text(f"{first} 0\n{other.format(tmp_path)} 1\n")
    with pytest.raises(ValueError, match=r"twice, at line 1 and at line 2; remove one of them"):
        DataLayout(str(tmp_path)).read("train")


def test_a_path_in_another_case_is_named_as_the_disk_has_it(tmp_path):
    touch(tmp_path, "Clips/A.mp4", "Clips/b.mp4")
    (tmp_path / "train.txt").write_text("clips/a.mp4 0\nClips/b.mp4 1\n")
    with pytest.raises(
        FileNotFoundError, match=r"'clips/a.mp4' \(line 1; the disk has 'Clips/A.mp4'\)"
    ):
        DataLayout(str(tmp_path)).read("train")


def test_lines_keep_their_numbers_beside_comments(tmp_path):
    (tmp_path / "train.csv").write_text("# mine\n\npath,label\n# one more\n\na.mp4\n")
    with pytest.raises(ValueError, match=r"has 1 values at line 6 and 2 columns"):
        DataLayout(str(tmp_path)).read("train")


@pytest.mark.parametrize("content", [b"", b"none.mp4\n"])
def test_a_long_path_is_shortened_in_the_middle_so_that_the_file_stays_named(tmp_path, content):
    folder = tmp_path / ("a" * 100)
    folder.mkdir()
    (folder / "list.txt").write_bytes(content)
    with pytest.raises((FileNotFoundError, ValueError), match=r"'/[^']*\.\.\.a+/list\.txt'"):
        list_for_prediction(str(folder / "list.txt"))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.mp4", None, FileNotFoundError, "none.mp4' does not exist"),
        ("list.txt", b"", ValueError, "contains no videos"),
        (
            "list.txt",
            b"none.mp4\n",
            FileNotFoundError,
            "list.txt': 1 of its 1 videos do not exist",
        ),
        ("clip.bin", b"\xff\xfe", ValueError, "neither a video .* nor a list"),
    ],
)
def test_prediction_names_what_it_cannot_use(tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        list_for_prediction(str(tmp_path / name))
