"""``pks4 predict --window``: scores and segments, also of an interrupted command."""

import csv
import json
import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.data.video.video import Video
from pks4_lightning.locks import hold_folder
from pks4_lightning.timeline.segments import MARGIN
from tests.helpers.killed import kill_within
from tests.helpers.media import Clip, write_clip

WHAT = {
    ("predict", "--window=1"): "segments",
    ("predict",): "predictions",
    ("features",): "features",
}
EVERY = pytest.mark.parametrize("options", WHAT)


@pytest.fixture(scope="module")
def checkpoint(trained):
    return str(trained / "checkpoints" / "best.ckpt")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of four seconds with sound."""
    folder = tmp_path_factory.mktemp("long")
    return write_clip(folder / "clip", Clip(".mp4", num_frames=100, b_frames=2, sound=4.0))


def predict(checkpoint, *arguments):
    return main(["predict", "--ckpt_path", checkpoint, *map(str, arguments)])


def rows_of(table):
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def content(folder):
    """All files except the journal, in which a kill may duplicate lines."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "videos.jsonl"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sentence(capfd):
    lines = capfd.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("pks4: error: "))
    return line


def test_scores_are_those_of_every_window_and_segments_cover_the_video(checkpoint, clip, tmp_path):
    out = tmp_path / "out"
    assert predict(checkpoint, clip, "--window", 1.0, "--stride", 0.5, "--out", out) == 0
    scores = np.load(out / "scores" / "clip.npy")
    model = pks4_lightning.load(checkpoint, device="cpu")
    assert scores.shape == (7, len(model.label_names))
    for k, row in enumerate(scores):
        numbers = [round(12.5 * k + 25 * (2 * t + 1) / 8 - 0.5) for t in range(4)]
        frames = Video(clip).frames(numbers, model.resize)
        expected = model.logits(model.normalise(model.crop(frames)[None]))[0].softmax(-1)
        assert row == pytest.approx(expected.numpy(), abs=2e-2)
    rows = rows_of(out / "segments.csv")
    assert rows[0]["start"] == "0.0"
    assert float(rows[-1]["end"]) == pytest.approx(4.0)
    assert {row["label"] for row in rows} <= set(model.label_names)
    assert (out / "clip.png").stat().st_size > 5000


def test_segments_reach_the_end_if_windows_are_far_apart(checkpoint, clip, tmp_path):
    given = ["--window", 0.4, "--stride", 3.0, "--out", tmp_path]
    assert predict(checkpoint, clip, *given) == 0
    assert len(np.load(tmp_path / "scores" / "clip.npy")) == 2
    rows = rows_of(tmp_path / "segments.csv")
    assert (rows[0]["start"], rows[-1]["end"]) == ("0.0", "4.0")


def test_labels_are_written_into_a_copy_that_keeps_frames_times_and_sound(
    checkpoint, clip, tmp_path
):
    seen = tmp_path / "seen.mp4"
    windows = ["--window", 1.0, "--out", tmp_path / "out"]
    assert predict(checkpoint, clip, *windows, "--overlay", seen) == 0
    assert np.allclose(Video(seen).times, Video(clip).times)
    plain, drawn = (Video(path).frames(range(100)).float() for path in (clip, seen))
    changed = (plain - drawn).abs().mean((1, 2, 3)) > 5  # every frame has its caption
    assert changed.all()
    sounds = []
    for path in (clip, seen):
        with av.open(str(path)) as container:
            sounds.append([bytes(p) for p in container.demux(audio=0) if p.size])
    assert sounds[0] == sounds[1]
    assert sounds[0]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "srt", "vtt"])
def test_several_videos_and_one_that_is_none(checkpoint, clip, tmp_path, form):
    bad, again = tmp_path / "bad.mp4", tmp_path / "again" / clip.name
    bad.write_bytes(b"no video")
    again.parent.mkdir()
    again.write_bytes(clip.read_bytes())
    out = tmp_path / "out"
    given = [clip, bad, "gone.mp4", again, "--window", 2.0, "--format", form, "--out", out]
    assert predict(checkpoint, *given) == 0
    failed = rows_of(out / "failed.csv")
    assert [(row["video_path"], row["reason"] == "missing") for row in failed] == [
        ("gone.mp4", True), (str(bad), False),
    ]  # fmt: skip
    if form in ("srt", "vtt"):
        one, other = (out / f"{name}.{form}" for name in ("clip", "again_clip"))
        assert one.read_text() == other.read_text()
        assert " --> 00:00:0" in one.read_text()
    else:
        text = (out / f"segments.{form}").read_text()
        assert text.index(json.dumps(str(clip))[1:-1]) < text.index(json.dumps(str(again))[1:-1])


def test_a_killed_and_resumed_command_writes_what_one_run_does(checkpoint, clip, tmp_path):
    windows = ["--window", 0.4, "--stride", 0.01]  # 361 windows in 23 batches
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert predict(checkpoint, clip, *windows, "--out", whole) == 0
    given = ["predict", "--ckpt_path", checkpoint, str(clip)]
    given += [*map(str, windows), "--out", str(part)]
    rows = part / "scores" / "clip.npy.part"
    kill_within(given, rows, 128 + 5 * 16 * 8 * 4)
    torn = rows.stat().st_size
    assert not (part / "scores" / "clip.npy").exists()
    with rows.open("ab") as file:  # half a row of the next batch
        file.write(b"\0" * 20)
    assert main(given) == 1, "nothing is added without being told so"
    assert rows.stat().st_size == torn + 20
    assert main([*given, "--resume"]) == 0
    assert content(part) == content(whole)
    before = (part / "scores" / "clip.npy").stat().st_mtime_ns
    assert main([*given, "--resume"]) == 0, "nothing is left to do"
    assert (part / "scores" / "clip.npy").stat().st_mtime_ns == before


def test_segments_are_continued_with_the_same_settings_alone(checkpoint, clip, tmp_path, capfd):
    given = [clip, "--window", 1.0, "--out", tmp_path]
    assert predict(checkpoint, *given) == 0
    capfd.readouterr()
    assert predict(checkpoint, *given, "--resume", "--stride", 0.25) == 1
    assert "--stride 0.5, but it is now 0.25" in sentence(capfd)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["--window", "0"], "window is 0; it must be a positive number of seconds"),
        (["--window", "nan"], "window is nan; it must be a positive"),
        (["--window", "0.01"], "window is 0.01 s, but a frame of '"),
        (["--window", "1", "--num_best", "5"], "--num_best cannot be combined with --window"),
        (["--window", "1", "--num_best", "all"], "--num_best cannot be combined with --window"),
        (["", "--window", "1"], "A video's name is empty: name a video"),
        (["--window", "1", "--stride", "-1"], "stride is -1"),
        (["--window", "1", "--stride", "1e-6"], "stride is 1e-06; it must be at least 0.001"),
        (["--window", "1", "--margin", "-1"], "margin is -1"),
        (["--stride", "1"], "--stride applies to long videos only: add --window"),
        (["--overlay", "x.mp4"], "--overlay applies to long videos only: add --window"),
        (["--format", "srt"], "--format srt writes subtitles, which need --window"),
        (
            ["--window", "1", "--data.num_clips=2"],
            "--data.num_clips cannot be combined with --window",
        ),
        (["--window", "1", "--overlay", "x.avi"], "must end in .mp4, .mkv or .mov"),
        (["gone.mp4", "--window", "1", "--overlay", "x.mp4"], "a single video, but 2 are given"),
    ],
)
def test_errors_are_one_sentence(checkpoint, clip, tmp_path, capfd, changes, reason):
    out = tmp_path / "out"
    assert predict(checkpoint, clip, *changes, "--out", out) == 1
    assert reason in sentence(capfd)
    assert not list(tmp_path.rglob("*.npy"))


@EVERY
def test_a_folder_that_another_command_is_writing_is_left_alone(
    checkpoint, clip, tmp_path, capfd, options
):
    command, *rest = options
    given = [command, f"--ckpt_path={checkpoint}", str(clip), *rest, f"--out={tmp_path}"]
    with hold_folder(tmp_path, what="results"):
        assert main(given) == 1
        assert f"is writing {WHAT[options]} to {tmp_path}: wait for it, or" in sentence(capfd)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert main(given) == 0


@EVERY
def test_a_video_with_any_name_is_scored_once(checkpoint, clip, tmp_path, options):
    names = [b"caf\xe9.mp4", "two\u2028lines.mp4".encode(), "next\x85line.mp4".encode()]
    videos, out = tmp_path / "videos", tmp_path / "out"
    videos.mkdir()
    for name in names:
        (videos / os.fsdecode(name)).write_bytes(clip.read_bytes())
    (videos / os.fsdecode(b"no vid\xe9o.mp4")).write_bytes(b"this is no video")
    command, *rest = options
    first = str(videos / os.fsdecode(names[0]))
    given = [command, f"--ckpt_path={checkpoint}", first, str(videos), *rest, f"--out={out}"]
    assert main(given) == 0
    before = content(out)
    assert main([*given, "--resume"]) == 0
    assert content(out) == before
    assert b"no vid\xe9o.mp4" in (out / "failed.csv").read_bytes()
    if command == "predict":
        table = (out / ("segments.csv" if rest else "predictions.csv")).read_bytes()
        assert all(name in table for name in names)


@pytest.mark.parametrize("options", [("predict", "--window=1"), ("features",)])
def test_another_spelling_of_a_path_is_the_same_video(
    checkpoint, clip, tmp_path, monkeypatch, options
):
    command, *rest = options
    checkpoint = str(Path(checkpoint).absolute())
    given = [command, f"--ckpt_path={checkpoint}", *rest, f"--out={tmp_path}"]
    monkeypatch.chdir(clip.parent.parent)
    assert main([*given, f"{clip.parent.name}/{clip.name}"]) == 0
    before = content(tmp_path)
    monkeypatch.chdir(clip.parent)
    assert main([*given, clip.name, "--resume"]) == 0
    assert content(tmp_path) == before


def test_an_overlay_that_cannot_be_written_is_refused_before_any_work(
    checkpoint, clip, tmp_path, capfd
):
    pictures, mine, out = tmp_path / "frames", tmp_path / "mine.mp4", tmp_path / "out"
    pictures.mkdir()
    Image.new("RGB", (64, 64)).save(pictures / "1.png")
    mine.write_text("precious")
    for video, words in (
        (pictures, f"copies a video file, but '{pictures}' is a folder of pictures"),
        (clip, f"--overlay is '{mine}', which already exists"),
    ):
        given = [video, "--window", 1.0, "--out", out, "--overlay"]
        assert predict(checkpoint, *given, tmp_path / "new.mp4" if video == pictures else mine) == 1
        assert words in sentence(capfd)
        assert not out.exists()
    assert mine.read_text() == "precious"


def test_windows_without_a_video_say_where_it_belongs(checkpoint, capfd):
    assert predict(checkpoint, "--window", 1.0) == 1
    assert "labels the videos that follow it, and there is none: name a video" in sentence(capfd)


def test_a_run_without_any_valid_video_fails(checkpoint, tmp_path, capfd):
    (tmp_path / "not.mp4").write_bytes(b"this is no video")
    out = tmp_path / "out"
    assert predict(checkpoint, tmp_path / "not.mp4", "--window", 1.0, "--out", out) == 1
    assert f"No video could be read; {out}/failed.csv gives the reasons." in sentence(capfd)


@pytest.mark.parametrize("options", [("predict", "--window=1"), ("features",)])
def test_a_classifier_on_the_hub_is_used_by_its_id(
    checkpoint, clip, tmp_path, monkeypatch, options
):
    export, out = tmp_path / "export", tmp_path / "out"
    assert main(["export-weights", f"--ckpt_path={checkpoint}", f"--out={export}"]) == 0
    monkeypatch.setattr("pks4_lightning.inference.download", lambda *_: export)
    command, *rest = options
    assert main([command, "--ckpt_path=me/tiny", str(clip), *rest, f"--out={out}"]) == 0
    given = [command, f"--ckpt_path={export}", str(clip), *rest, f"--out={out}", "--resume"]
    assert main(given) == 0, "these are the same weights"


def test_a_video_that_cannot_be_read_has_no_overlay(checkpoint, clip, tmp_path, capfd):
    torn, out = tmp_path / "torn.mkv", tmp_path / "out"
    whole = write_clip(tmp_path / "whole", Clip(".mkv", num_frames=20)).read_bytes()
    torn.write_bytes(whole[:700])  # it can be opened
    given = ["--window", 1.0, "--out", out]
    assert predict(checkpoint, clip, *given) == 0
    capfd.readouterr()
    overlay = ["--resume", "--overlay", tmp_path / "seen.mp4"]
    assert predict(checkpoint, torn, *given, *overlay) == 1
    assert f"'{torn}' cannot be read, so there is no '{tmp_path}/seen.mp4'" in sentence(capfd)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    assert predict(checkpoint, tmp_path / "bad.mp4", *given, *overlay) == 1
    assert f"{tmp_path}/bad.mp4" in sentence(capfd)


def test_the_help_states_the_default_margin(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["predict", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert f"scores this much higher; default: {MARGIN}" in words
