import os

import pytest

from pks4_lightning.data.annotations.file_lookup import FolderIndex, fullest_folder
from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.paths import UnsafePathError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_files_and_folders_of_images(tmp_path):
    touch(tmp_path, "a/1.mp4", "a/2/00001.jpg", "a/x.mp4/00001.jpg")
    index = FolderIndex(tmp_path)
    assert index.find("a/1.mp4") == "a/1.mp4"
    assert index.find("a/1") == "a/1.mp4"
    assert index.find("a/2") == "a/2"
    assert index.find("a/x.mp4") == "a/x.mp4", "pictures of a video lie in a folder of its name"
    for absent in ("a/3.mp4", "b/1.mp4", "a/1.mp4/1.mp4", "a/1.avi", "A/1.mp4"):
        assert index.find(absent) is None


def test_a_lenient_index_ignores_case_and_suffix(tmp_path):
    touch(tmp_path, "Jump/v_Jump.mp4")
    assert FolderIndex(tmp_path, forgiving=True).find("jump/V_jump.avi") == "Jump/v_Jump.mp4"


def test_links_may_not_lead_out_of_the_folder(tmp_path):
    root = tmp_path / "root"
    touch(tmp_path, "secret/1.mp4", "root/real.mp4")
    (root / "file.mp4").symlink_to(tmp_path / "secret/1.mp4")
    (root / "inside.mp4").symlink_to(root / "real.mp4")
    (root / "nowhere.mp4").symlink_to(root / "none.mp4")
    (root / "folder").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "pipe.mp4")
    index = FolderIndex(root)
    assert index.find("inside.mp4") == "inside.mp4"
    for video, reason in {
        "file.mp4": "leads out",
        "nowhere.mp4": "is a broken link",
        "folder": "leads out",
        "folder/1.mp4": "leads out",
        "pipe.mp4": "pipe",
    }.items():
        with pytest.raises(UnsafePathError, match=reason):
            index.find(video)


def test_a_link_that_leads_out_is_named_with_its_list(tmp_path):
    touch(tmp_path, "secret.mp4")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/1.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "root/train.txt").write_text("1.mp4 0\n")
    with pytest.raises(
        ValueError, match=r"train.txt' names '1.mp4', which is a link .*data.videos"
    ):
        DataLayout(str(tmp_path / "root")).read("train")


def test_the_videos_folder_may_itself_be_a_link(tmp_path):
    touch(tmp_path, "disk/1.mp4")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/videos").symlink_to(tmp_path / "disk")
    (tmp_path / "root/train.txt").write_text("1.mp4 0\n")
    assert DataLayout(str(tmp_path / "root")).read("train").paths == ("1.mp4",)


def test_the_folder_with_most_of_the_videos_is_taken(tmp_path):
    touch(tmp_path, "a/1.mp4", "b/1.mp4", "b/2.mp4")
    candidates = [tmp_path / "none", tmp_path / "a", tmp_path / "b"]
    assert fullest_folder(candidates, ["1.mp4", "2.mp4", "3.mp4"]).folder == tmp_path / "b"
    assert fullest_folder(candidates, ["9.mp4"]).folder == tmp_path / "none"


@pytest.mark.parametrize("kept", [0, 40_000])
def test_a_large_folder_is_listed_once(tmp_path, monkeypatch, kept):
    touch(tmp_path, "1.mp4")
    calls = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(path) or scandir(path))
    index = FolderIndex(tmp_path)
    assert [index.find(f"{i}.mp4") for i in range(kept)].count("1.mp4") == (kept > 0)
    assert len(calls) == (kept > 0)
