"""Search of a folder for videos and folders of images; skipped files are reported."""

import pytest

from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.prediction import list_for_prediction
from pks4_lightning.data.annotations.walking import find_videos, walk
from pks4_lightning.data.video.container import VIDEO_SUFFIXES


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_videos_and_folders_of_images_are_found(tmp_path):
    touch(tmp_path, "a/1.MP4", "a/x/00001.jpg", "a/x/00002.jpg", "b/2.mp4", "b/thumb.jpg",
          "a/.3.mp4", ".hidden/4.mp4", "notes.txt")  # fmt: skip
    walked = walk(tmp_path)
    assert walked.videos == find_videos(tmp_path) == ["a/1.MP4", "b/2.mp4"]
    assert walked.picture_folders == ["a/x"]
    assert walked.clips == ["a/1.MP4", "a/x", "b/2.mp4"]
    assert walked.remarks() == []


@pytest.mark.parametrize("suffix", [".3gp", ".MPG", ".wmv", ".ts", ".flv", ".rmvb", ".mxf", ".dav"])
def test_every_video_is_read_or_counted(tmp_path, suffix):
    touch(tmp_path, "a/1.mp4", f"a/2{suffix}", f"a/3{suffix}")
    walked = walk(tmp_path)
    if suffix.lower() in VIDEO_SUFFIXES:
        assert len(walked.videos) == 3
        return
    assert walked.unread == [f"a/2{suffix}", f"a/3{suffix}"]
    assert walked.remarks() == [
        f"2 files below '{tmp_path}' are videos in unsupported formats (2 {suffix}), such "
        f"as 'a/2{suffix}'; they are skipped unless you convert them."
    ]


def test_files_left_out_of_class_folders_are_reported(tmp_path, caplog):
    touch(tmp_path, "train/wave/1.mp4", "train/wave/2.rmvb", "train/jump/x/3.rmvb",
          "train/jump/about.txt", "train/jump/LICENSE", "val/wave/4.mp4")  # fmt: skip
    (tmp_path / "train" / "nod").mkdir()
    layout = DataLayout(str(tmp_path))
    assert layout.read("train").paths == ("wave/1.mp4",)
    assert "2 files below" in caplog.text
    assert (
        f"2 folders in '{tmp_path}/train' without a video in a supported format: "
        "'jump' (1 .rmvb, 1 .txt, 1 without suffix), 'nod' (empty)."
    ) in caplog.text
    caplog.clear()
    assert len(list_for_prediction(str(tmp_path))) == 2
    assert "2 .rmvb" in caplog.text


def test_classes_of_other_files_only_are_refused_by_their_suffixes(tmp_path):
    touch(tmp_path, "train/wave/1.rmvb", "train/wave/2.rmvb", "train/jump/a.zip", "val/wave/3.mp4")
    with pytest.raises(
        ValueError, match=r"train' contains no videos in a supported format \(2 \.rmvb, 1 \.zip\)"
    ):
        DataLayout(str(tmp_path)).read("train")
    with pytest.raises(ValueError, match="contains no videos"):
        list_for_prediction(str(tmp_path / "train"))
