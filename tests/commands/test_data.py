"""``pks4 data``: commands and their output."""

import json
import shutil

import matplotlib.image
import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.data.annotations.published_counts import official_counts
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.inspection.check import check_data, workers_needed
from pks4_lightning.data.inspection.manifest import default_manifest, read_manifest
from pks4_lightning.data.inspection.probe import FileRecord
from tests.conftest import ROOT, TINY
from tests.helpers.corpus import write_clip

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


@pytest.fixture
def folders(tmp_path):
    """Class folders: train and val, classes a and b, three different videos each."""
    seed = 0
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3):
                seed += 1
                path = tmp_path / split / name / f"{number}.mp4"
                write_clip(path, "bframes.mp4", seed=seed)
    return tmp_path


def run(*arguments):
    return main(["data", *map(str, arguments)])


def check(root, *arguments):
    small = ["--data.num_workers=0", "--data.frame_size=32", "--data.resize=36"]
    return run("check", root, "--out", root / "check.png", *small, *arguments)


def test_a_good_data_set_is_indexed_and_checked(folders, capsys):
    assert run("index", folders, "--jobs", 2) == 0
    records = read_manifest(default_manifest(folders))
    assert len(records) == 12
    assert {record.status for record in records.values()} == {"ok"}
    assert check(folders, "--clips_per_second", "10000") == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["train", "6", "0", "0", "2", "3", "–", "3", "–", "3"] in rows
    assert ["val", "6", "0", "0", "2", "3", "–", "3", "–", "3"] in rows
    assert "Videos have 24 to 24 frames" in text
    assert "10000 clips per second need data.num_workers" in text
    assert "✓ No problem that would distort a score was found." in text
    assert matplotlib.image.imread(folders / "check.png").std() > 0.05


def test_faults_that_distort_scores_are_errors(folders, capsys):
    shutil.copyfile(folders / "train" / "a" / "0.mp4", folders / "val" / "b" / "0.mp4")
    half = (folders / "val" / "a" / "1.mp4").read_bytes()[:5000]
    (folders / "val" / "a" / "1.mp4").write_bytes(half)
    (folders / "train" / "b" / "2.mp4").write_text("<html>")
    assert run("index", folders, "--jobs", 2) == 0
    assert check(folders) == 1
    text = capsys.readouterr().out
    wrong = [line for line in text.splitlines() if line.startswith("✗")]
    assert len(wrong) == 3
    assert wrong[0].startswith("✗ 1 of 6 val videos cannot be used (1 unreadable), such as "
                               "'val/a/1.mp4'")  # fmt: skip
    assert wrong[1] == (
        "✗ 1 videos have a copy in another split, such as train 'train/a/0.mp4' = "
        "val 'val/b/0.mp4'."
    )
    assert "copies with another label" in wrong[2]
    assert "· 1 of 6 train videos cannot be used (1 unreadable)" in text


def test_without_a_manifest_the_check_lists_what_is_unknown(folders, capsys):
    assert check(folders) == 0
    assert "There is no manifest" in capsys.readouterr().out


def test_each_annotation_is_named_once(folders, motion_set, tmp_path, caplog):
    """Also if the speed needs a second reading, and validation stands in for the test split."""
    shutil.rmtree(folders / "val")
    with caplog.at_level("INFO"):
        for root in (folders, motion_set):
            check(root, "--out", tmp_path / "check.png")
    lines = [line for line in caplog.messages if "is read as" in line or "There are no ann" in line]
    assert len(lines) == len(set(lines)) >= 4


def test_any_folder_with_videos_can_be_indexed(tmp_path, caplog):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write_clip(tmp_path / "deep" / "er" / "x.webm", "vp9.webm")
    with caplog.at_level("INFO"):
        assert run("index", tmp_path, "--jobs", 1) == 0
    assert "whether annotations list them or not" in caplog.text
    assert list(read_manifest(default_manifest(tmp_path))) == ["deep/er/x.webm"]


def test_only_listed_videos_are_indexed_unless_all_are_asked_for(motion_set, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(motion_set, root)
    shutil.copyfile(root / "videos" / "1.webm", root / "videos" / "unlisted.webm")
    train = root / "labels" / "train.json"
    (root / "videos" / f"{json.loads(train.read_text())[0]['id']}.webm").unlink()
    assert run("index", root, "--jobs", 2) == 0
    records = read_manifest(default_manifest(root))
    assert len(records) == 35
    assert [record.status for record in records.values()].count("missing") == 1
    assert run("index", root, "--jobs", 2, "--all_files") == 0
    assert "videos/unlisted.webm" in read_manifest(default_manifest(root))


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_contact_sheet_shows_a_configurations_clips(motion_set, tmp_path, split, caplog):
    out = tmp_path / "sheets" / f"{split}.png"
    views = ["--data.num_clips=2" if split == "test" else "--data.augmentation.grayscale=1"]
    with caplog.at_level("INFO"):
        arguments = ["--split", split, "--num_shown", "2", "--out", out, *views]
        assert run("show", motion_set, "--config", TINY, *arguments) == 0
    assert f"Drew {4 if split == 'test' else 2} clips of 2 videos" in caplog.text
    picture = matplotlib.image.imread(out)
    assert picture.shape[0] > (4 if split == "test" else 2) * 130  # one row per view
    assert picture[..., :3].std() > 0.1
    coloured = np.ptp(picture[..., :3], axis=-1) > 0.1
    assert (coloured.mean() > 0.01) == (split == "test")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check"], "No data set is given: name its folder, as in pks4 data check ROOT."),
        (["index", "/no/such"], "There is no folder '/no/such'"),
        (["check", ROOT / "configs"], "There are no annotations in "),
    ],
)
def test_user_errors_are_one_sentence(arguments, sentence, capsys):
    assert run(*arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"pks4: error: {sentence}")


@pytest.mark.parametrize("command", ["data show", "data check", "cost --scaling"])
@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        (".", "--out . is a folder; name a picture in it, such as picture.png."),
        ("s.xyz", "--out s.xyz does not say how to save a picture; let it end in .png, "),
        ("picture", "--out picture does not say how to save a picture; "),
    ],
)
def test_a_picture_that_cannot_be_saved_is_refused_before_any_work(
    tmp_path, monkeypatch, capsys, command, out, sentence
):
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), "--config", str(TINY), "--out", out]) == 1
    assert capsys.readouterr().err.startswith(f"pks4: error: {sentence}")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_option_is_named_with_the_nearest_one(capsys):
    with pytest.raises(SystemExit) as caught:
        run("show", "/tmp", "--num_show", "3")
    assert caught.value.code == 2
    assert "did you mean --num_shown?" in capsys.readouterr().err
    assert run("show", "/tmp", "--nothing_like_it", "3") == 2
    assert "unrecognized arguments: --nothing_like_it" in capsys.readouterr().err
    assert run("show", "/tmp", "--config", "no.yaml") == 2
    assert "no.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["index", "check", "show"])
def test_every_command_explains_its_options(command, capsys):
    with pytest.raises(SystemExit) as caught:
        run(command, "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "`pks4 fit --help data` lists them" in text
    assert "--config" in text


def listed(*paths, labels=None, missing=()):
    return VideoList(
        "list", "/root", paths, labels or (0,) * len(paths), missing, (0,) * len(missing)
    )


def record(path, **fields):
    return FileRecord(path=path, sha256=fields.pop("sha256", path), num_frames=8, **fields)


def test_missing_training_videos_are_a_note_and_missing_test_videos_an_error():
    splits = {"train": listed("a", missing=("b",)), "val": listed("c", missing=("d", "e"))}
    report = check_data(splits, None, "/root", label_names=["x"])
    assert report.wrong == ["2 of 3 val videos are missing, such as 'd', 'e'."]
    assert report.notes[0] == "1 of 2 train videos are missing, such as 'b'."
    assert (report.splits["val"].listed, report.splits["val"].usable) == (3, 1)
    assert report.splits["val"].per_class == [3]


def test_a_video_listed_in_two_splits_and_an_empty_class_are_errors():
    splits = {"train": listed("a", "b"), "val": listed("b", "c", labels=(0, 1))}
    records = {path: record(path) for path in "abc"}
    report = check_data(splits, records, "/root", label_names=["x", "y"])
    assert report.wrong == [
        "1 of 2 classes have no training video, such as 'y'.",
        "1 videos are listed in both train and val, such as 'b'.",
    ]


def test_videos_that_are_not_read_and_empty_classes_are_named(tmp_path):
    splits = {}
    for split in ("train", "val"):
        for name in ("x/1.mp4", "x/2.rmvb", "z/notes.txt"):
            (tmp_path / split / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / split / name).touch()
        folder = str(tmp_path / split)
        splits[split] = VideoList(folder, folder, ("x/1.mp4",), (0,))
    report = check_data(splits, None, str(tmp_path), label_names=["x"])
    assert [sentence.split(" ", 1)[0] for sentence in report.wrong] == ["1", "1"]
    assert "unsupported formats (1 .rmvb), such as 'x/2.rmvb'" in report.wrong[0]
    assert "val' without a video in a supported format: 'z' (1 .txt)" in report.wrong[1]
    assert "(1 .rmvb)" in report.notes[0], "a training without some videos is a training"


def test_copies_within_a_split_are_a_note():
    splits = {"train": listed("a", "b", "c")}
    records = {path: record(path, sha256="same" if path in "ab" else "") for path in "abc"}
    report = check_data(splits, records, "/root", label_names=["x"])
    assert report.wrong == []
    assert "1 videos have copies within their split, such as train 'a' = train 'b'." in report.notes


def test_official_numbers_are_compared_where_the_data_set_is_known():
    assert official_counts("ssv2", 174).counts == {"train": 168_913, "val": 24_777}
    assert official_counts("ssv1", 174).counts["train"] == 86_017
    assert official_counts("jester", 27).counts["test"] == 14_743
    assert official_counts("auto", 174) is None
    assert official_counts("kinetics", 400).name == "Kinetics-400"
    assert official_counts("folder", 101).name == "UCF-101"
    assert official_counts("kinetics", 101) is None
    assert official_counts("list", 12) is None
    official = official_counts("ucf101", 101)
    report = check_data({"train": listed("a")}, {}, "/root", label_names=["x"], official=official)
    assert report.notes[-1] == (
        "If this is UCF-101: it has 9,537 train videos, but 1 are listed."
    )  # fmt: skip


def test_workers_are_rounded_up():
    assert [workers_needed(10.0, wanted=wanted) for wanted in (1, 10, 10.5, 95)] == [1, 1, 2, 10]
