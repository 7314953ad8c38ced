"""Targets of prediction: videos, folders, lists, patterns and standard input."""

import io
import os
import sys

import pytest

from pks4_lightning.data.annotations.prediction import list_for_prediction

FILES = ("in/b.mp4", "in/deep/a.webm", "in/deep/[1] c.mkv", "in/notes.md", "d.avi")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "list.txt").write_text("in/b.mp4\ngone.mp4\n")
    (tmp_path / "dangling.mp4").symlink_to("nowhere.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(monkeypatch, content):
    """Let standard input be these bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def paths(targets):
    videos = list_for_prediction(targets)
    assert videos.labels == (-1,) * len(videos)
    assert videos.missing_labels == (-1,) * len(videos.missing)
    return [videos.path(index) for index in range(len(videos))], list(videos.missing)


@pytest.mark.parametrize(
    ("targets", "found", "missing"),
    [
        (["d.avi", "in/b.mp4"], ["d.avi", "in/b.mp4"], []),
        (["in", "d.avi"], ["in/b.mp4", "in/deep/[1] c.mkv", "in/deep/a.webm", "d.avi"], []),
        (["in/**/*"], ["in/b.mp4", "in/deep/[1] c.mkv", "in/deep/a.webm"], []),
        (["*/*.mp4", "d.avi"], ["in/b.mp4", "d.avi"], []),
        (["in/deep/[1] c.mkv"], ["in/deep/[1] c.mkv"], []),
        (["d.avi", "d.avi", "*.avi"], ["d.avi"], []),
        (["list.txt", "d.avi"], ["in/b.mp4", "d.avi"], ["gone.mp4"]),
        (["d.avi", "none.mp4", "*.wmv"], ["d.avi"], ["none.mp4", "*.wmv"]),
        (["*.mp4", "d.avi"], ["d.avi"], ["dangling.mp4"]),
        (["dangling.mp4", "d.avi"], ["d.avi"], ["dangling.mp4"]),
    ],
)
def test_several_targets_are_one_list(targets, found, missing):
    assert paths(targets) == (found, missing)


def test_a_video_is_listed_once_however_it_is_named(folder):
    (folder / "thrice.txt").write_text("d.avi\n./d.avi\ngone.mp4\nd.avi\ngone.mp4\n")
    assert paths("thrice.txt") == (["d.avi"], ["gone.mp4"])
    given = ["in/b.mp4", f"{folder}/in/b.mp4", "in/deep/../b.mp4", "in", f"{folder}/d.avi", "d.avi"]
    assert paths(given) == (
        ["in/b.mp4", "in/deep/[1] c.mkv", "in/deep/a.webm", f"{folder}/d.avi"], []
    )  # fmt: skip


def test_a_pattern_may_be_absolute(folder):
    assert paths(f"{folder}/*.avi") == ([f"{folder}/d.avi"], [])


def test_a_dash_reads_a_list_from_standard_input(monkeypatch):
    text = "\ufeff# mine\n\nin/b.mp4\n'in/deep/[1] c.mkv'\nnone.mp4\n"
    given(monkeypatch, text.encode())
    assert paths(["-", "d.avi"]) == (["in/b.mp4", "in/deep/[1] c.mkv", "d.avi"], ["none.mp4"])


@pytest.mark.parametrize(
    "name", [b"caf\xe9.mp4", "two\u2028lines.mp4".encode(), "next\x85line.mp4".encode()]
)
def test_a_list_may_name_any_file(folder, monkeypatch, name):
    (folder / os.fsdecode(name)).touch()
    (folder / "odd.txt").write_bytes(name + b"\r\n")
    given(monkeypatch, name)
    assert paths("-") == paths("odd.txt") == ([os.fsdecode(name)], [])


@pytest.mark.parametrize(
    ("targets", "error", "sentence"),
    [
        (None, ValueError, "data.predict is not set"),
        ([], ValueError, "data.predict is not set"),
        ("none.mp4", FileNotFoundError, "'none.mp4' does not exist."),
        ("dangling.mp4", FileNotFoundError, "'dangling.mp4' does not exist."),
        ("*.wmv", FileNotFoundError, "'*.wmv' matches no video."),
        (
            "inn/*.mp4",
            FileNotFoundError,
            "matches no video: there is no folder 'inn'; did you mean in?",
        ),
        (
            ["a.mp4", "*.wmv"],
            FileNotFoundError,
            "'a.mp4 *.wmv': 2 of its 2 videos do not exist, such as 'a.mp4'",
        ),
        ("-", ValueError, "'-' contains no videos."),
        ([""], ValueError, "A video's name is empty: name a video"),
        (["a.mp4", ""], ValueError, "A video's name is empty: name a video"),
    ],
)
def test_nothing_to_predict_is_one_sentence(targets, error, sentence, monkeypatch):
    given(monkeypatch, b"")
    with pytest.raises(error) as caught:
        list_for_prediction(targets)
    assert sentence in str(caught.value)


def test_a_pattern_in_the_home_folder_is_corrected_too(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "clips").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(FileNotFoundError, match=f"did you mean {home / 'clips'}"):
        list_for_prediction("~/clps/*.mp4")
    with pytest.raises(FileNotFoundError, match=r"matches no video\.$"):
        list_for_prediction("~/*.mp4")
