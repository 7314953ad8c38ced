"""``pks4 stream``: predictions equal those for whole clips, and dropped frames are counted."""

import io
import json
import os
import tracemalloc

import pytest
import torch

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.commands.inference import stream
from pks4_lightning.data.video.video import Video
from pks4_lightning.timeline.follow import Answer


@pytest.fixture(scope="module")
def trainings(tiny_args, tmp_path_factory):
    """Checkpoints of a causal classifier and of one that needs later frames."""
    folder = tmp_path_factory.mktemp("streams")
    settings = {"causal": "causal=true", "delayed": "class_route=none"}
    for name, setting in settings.items():
        arguments = ["fit", *tiny_args, f"--model.classifier.{setting}", "--trainer.max_epochs=1"]
        run_cli([*arguments, f"--trainer.default_root_dir={folder / name}"])
    return {name: folder / name / "checkpoints" / "last.ckpt" for name in settings}


@pytest.fixture(scope="module")
def clip(motion_set):
    return sorted((motion_set / "videos").iterdir())[0]


def answers_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["causal", "delayed"])
def test_the_last_answer_is_that_of_the_whole_clip(trainings, clip, tmp_path, name):
    out = tmp_path / "events.jsonl"
    rate = Video(clip).num_frames / Video(clip).duration
    arguments = ["stream", "--ckpt_path", str(trainings[name]), "--source", str(clip)]
    assert main([*arguments, "--rate", str(rate), "--out", str(out), "--device", "cpu"]) == 0
    lines = answers_of(out)
    assert len(lines) == Video(clip).num_frames
    assert [line["time"] for line in lines] == pytest.approx(Video(clip).times, abs=2e-3)
    assert all(line["dropped"] == 0 for line in lines)
    model = pks4_lightning.load(trainings[name], device="cpu")
    frames = Video(clip).frames(range(Video(clip).num_frames), model.resize)
    size = model.clip.frame_size
    top, left = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    crops = frames[:, top : top + size, left : left + size].permute(3, 0, 1, 2)
    whole = model.logits(model.normalise(crops.unsqueeze(0)))[0].softmax(-1)
    scores = dict(lines[-1]["best"])
    for label, score in scores.items():
        expected = float(whole[model.label_names.index(label)])
        assert score == pytest.approx(expected, abs=1e-3)


def test_any_other_classifier_is_followed_in_windows(trained, clip, tmp_path, caplog):
    out = tmp_path / "events.jsonl"
    checkpoint = str(trained / "checkpoints" / "best.ckpt")
    arguments = ["stream", "--ckpt_path", checkpoint, "--source", str(clip), "--rate", "5"]
    assert main([*arguments, "--out", str(out), "--every", "2"]) == 0
    assert "classified again" in caplog.text
    times = [line["time"] for line in answers_of(out)]
    assert times == pytest.approx([0.4 * n for n in range(len(times))])
    assert main([*arguments, "--mode", "state"]) == 1


def test_inference_uses_the_frame_rate_of_the_training(tiny_args, clip, tmp_path, caplog):
    settings = ["--data.frame_rate=6", "--data.flexible.num_frames=[2,4]", "--trainer.max_epochs=1"]
    run_cli(["fit", *tiny_args, *settings, f"--trainer.default_root_dir={tmp_path}"])
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    model = pks4_lightning.load(checkpoint, device="cpu")
    assert model.clip.frame_rate == 6
    given = ["--ckpt_path", str(checkpoint)]
    out = tmp_path / "events.jsonl"
    assert main(["stream", *given, "--source", str(clip), "--out", str(out)]) == 0
    assert [line["time"] for line in answers_of(out)][:3] == pytest.approx(
        [0, 1 / 6, 2 / 6], abs=1e-3
    )
    labels = ["--out", str(tmp_path / "labels"), "--format", "jsonl", "--data.num_workers=0"]
    assert main(["predict", *given, str(clip), *labels]) == 0
    (line,) = answers_of(tmp_path / "labels" / "predictions.jsonl")
    for best, (name, score) in zip(line["best"], model.predict(clip), strict=True):
        assert (best["name"], best["score"]) == (name, pytest.approx(score, abs=1e-4))
    # four frames, a sixth of a second apart, in the middle of the video
    middle = (Video(clip).times[-1] - 3 / 6) / 2
    frames = Video(clip).frames(Video(clip).frames_at([middle + t / 6 for t in range(4)]), 36)
    expected = model.normalise(model.crop(frames).unsqueeze(0))
    assert torch.equal(model.preprocess(clip), expected)
    assert main(["predict", *given, str(clip), "--window", "2", "--out", str(tmp_path / "x")]) == 0
    assert "give 2 frames per second, but training used 6: --window 0.666667" in caplog.text


def test_labels_are_written_into_a_copy(trainings, clip, tmp_path):
    overlay = tmp_path / "seen.mp4"
    arguments = ["stream", "--ckpt_path", str(trainings["causal"]), "--source", str(clip)]
    out = ["--out", str(tmp_path / "events.jsonl"), "--overlay", str(overlay)]
    assert main([*arguments, *out]) == 0
    assert Video(overlay).num_frames == Video(clip).num_frames
    seen, plain = (Video(path).frames([5], 64).float() for path in (overlay, clip))
    assert (seen - plain).abs()[0, 32:].mean() > 3 * (seen - plain).abs()[0, :20].mean()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["--source", "/nowhere.mp4"], "/nowhere.mp4"),
        (["--rate", "0"], "--rate is 0"),
        (["--rate", "1e9"], "--rate is 1e+09; it must be above 0 and at most 1000 frames per"),
        (["--every", "0"], "--every is 0"),
        (["--ckpt_path", "/nowhere.ckpt"], "/nowhere.ckpt"),
        (["--ckpt_path", ""], "The classifier's name is empty"),
        (["--source", ""], "Cannot decode video '': its name is empty"),
        (["--source", "/"], "Cannot decode video '/': it is a folder; a stream is a file"),
        (["--out", "/dev/full"], "Predictions cannot be written to '/dev/full': No space left"),
    ],
)
def test_errors_are_one_sentence(trainings, clip, capfd, changes, reason):
    given = ["stream", "--ckpt_path", str(trainings["causal"]), "--source", str(clip)]
    assert main([*given, *changes]) == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("pks4: error: ")
    assert reason in error


@pytest.mark.parametrize("option", ["--out", "--overlay"])
@pytest.mark.parametrize("is_source", [True, False])
def test_no_file_is_replaced(trainings, clip, tmp_path, capfd, option, is_source):
    source, other = tmp_path / "source.mp4", tmp_path / "other.mp4"
    for path in (source, other):
        path.write_bytes(clip.read_bytes())
    target = source if is_source else other
    given = ["stream", "--ckpt_path", str(trainings["causal"]), "--source", str(source)]
    assert main([*given, option, str(target)]) == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.endswith(
        f"{option} is '{target}', which already exists; choose another file or delete it."
    )
    assert source.read_bytes() == other.read_bytes() == clip.read_bytes()


def test_an_output_that_cannot_be_written_is_refused_before_any_work(clip, tmp_path, capfd):
    for out, words in (
        (tmp_path, f"--out is '{tmp_path}', which is a folder; name a file in it, such as"),
        ("/proc/events.jsonl", "No predictions can be written to /proc: "),
    ):
        given = ["stream", "--ckpt_path", "/nowhere.ckpt", "--source", str(clip)]
        assert main([*given, "--out", str(out)]) == 1
        assert words in capfd.readouterr().err.strip().splitlines()[-1]


def test_a_clip_shorter_than_the_delay_is_answered(trainings, tmp_path):
    from tests.helpers.media import Clip, write_clip

    clip = write_clip(tmp_path / "short", Clip(".mp4", num_frames=2))
    out = tmp_path / "events.jsonl"
    arguments = ["stream", "--ckpt_path", str(trainings["delayed"]), "--source", str(clip)]
    assert main([*arguments, "--rate", "25", "--out", str(out)]) == 0
    lines = answers_of(out)
    assert len(lines) == 2
    assert torch.tensor([line["score"] for line in lines]).isfinite().all()


def log_to(lines, **changes):
    names = [f"class {k}" for k in range(8)]
    return stream._Log(lines, names, **{"every": 1, "num_best": 8, "keep": False, **changes})


def test_a_program_that_reads_the_pipe_gets_every_line_at_once():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb", buffering=0) as pipe, os.fdopen(writing, "w") as lines:
        log = log_to(lines)
        for time in (0.0, 0.25):
            log.add(Answer(time, torch.rand(8)), 0, 0.01)
            assert json.loads(pipe.read(10_000) or "null")["time"] == time


def test_a_stream_without_an_end_needs_no_more_memory(monkeypatch):
    monkeypatch.setattr(stream, "_MOST_TIMED", 50)
    log = log_to(io.StringIO(), every=10**9)
    tracemalloc.start()
    try:
        for number in range(1, 601):
            log.add(Answer(number / 4, torch.rand(8)), 0, 0.01)
            if number == 100:
                before = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()
    assert log.summary().startswith("600 predictions, ")
