"""A classifier used from Python gives the same results as the command line."""

import csv
import doctest
import re

import numpy as np
import pytest
import torch

import pks4_lightning
from pks4_lightning import inference
from pks4_lightning.__main__ import main
from pks4_lightning.data.video.video import Video


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def videos(motion_set):
    return sorted((motion_set / "videos").iterdir())[:3]


@pytest.fixture(scope="module")
def model(checkpoint):
    return pks4_lightning.load(checkpoint, device="cpu")


@pytest.mark.parametrize(("num_clips", "num_crops"), [(1, 1), (2, 3)])
def test_labels_and_scores_are_those_of_pks4_predict(
    model, checkpoint, videos, tmp_path, num_clips, num_crops
):
    listed = tmp_path / "videos.txt"
    listed.write_text("".join(f"{path}\n" for path in videos))
    arguments = ["predict", f"--ckpt_path={checkpoint}", f"--data.predict={listed}"]
    arguments += [f"--data.num_clips={num_clips}", f"--data.num_crops={num_crops}"]
    assert main([*arguments, f"--trainer.default_root_dir={tmp_path}"]) == 0
    with next(tmp_path.rglob("predictions.csv")).open(newline="") as file:
        rows = {row["video_path"]: row for row in csv.DictReader(file)}
    answers = model.predict(videos, num_clips=num_clips, num_crops=num_crops)
    for path, best in zip(videos, answers, strict=True):
        row = rows[str(path)]
        assert [label.name for label in best] == [row[f"top{k}"] for k in range(1, 6)]
        written = [float(row[f"score{k}"]) for k in range(1, 6)]
        assert [label.score for label in best] == pytest.approx(written, abs=1e-6)


def test_a_file_its_frames_and_a_list_get_the_same_answer(model, videos):
    frames = Video(videos[0]).frames(range(Video(videos[0]).num_frames))
    from_file = model.predict(videos[0], num_best=None)
    assert len(from_file) == len(model.label_names)
    assert sum(label.score for label in from_file) == pytest.approx(1.0)
    assert model.predict(str(videos[0]), num_best=1) == from_file[:1]
    assert model.predict(videos[:1], num_best=2) == [from_file[:2]]
    # a file's frames are scaled in its own colour space, an array's in RGB
    scores = {label.name: label.score for label in from_file}
    for array in (frames, frames.numpy()):
        for label in model.predict(array, num_best=None):
            assert label.score == pytest.approx(scores[label.name], abs=2e-3)


def test_a_list_is_a_list_of_videos_not_of_frames(model, videos):
    frames = Video(videos[0]).frames(range(Video(videos[0]).num_frames)).numpy()
    for array, best in zip([frames, frames[:3]], model.predict([frames, frames[:3]]), strict=True):
        assert dict(best) == pytest.approx(dict(model.predict(array)), abs=1e-6)
    assert model.predict([]) == []
    with pytest.raises(ValueError, match=r"is a single picture: give .* np\.stack\(frames\)"):
        model.predict(list(frames))


def test_batches_change_nothing(model, videos):
    views = {"num_clips": 2, "num_crops": 3, "num_best": None}
    whole = model.predict(videos, batch_size=100, **views)
    for batch_size in (1, 4, 7):
        parts = model.predict(videos, batch_size=batch_size, **views)
        for one, other in zip(whole, parts, strict=True):
            assert dict(other) == pytest.approx(dict(one), abs=1e-6)
    vector = model.features(videos[0], num_clips=2, num_crops=3)
    torch.testing.assert_close(
        model.features(videos[0], num_clips=2, num_crops=3, batch_size=1), vector
    )


def test_views_and_precision_are_those_of_the_training(checkpoint, videos, tmp_path):
    """Python and `pks4 predict` then give the same results by default."""
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["trainer"]["precision"] = "bf16-mixed"
    content["config"]["data"] |= {"num_clips": 2, "num_crops": 3}
    torch.save(content, tmp_path / "other.ckpt")
    model = pks4_lightning.load(tmp_path / "other.ckpt", device="cpu")
    assert (model.dtype, model.num_clips, model.num_crops) == (torch.bfloat16, 2, 3)
    out = f"--out={tmp_path / 'out'}"
    assert main(["predict", f"--ckpt_path={tmp_path / 'other.ckpt'}", out, str(videos[0])]) == 0
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    best = model.predict(videos[0])
    assert [label.name for label in best] == [row[f"top{k}"] for k in range(1, 6)]
    written = [float(row[f"score{k}"]) for k in range(1, 6)]
    assert [label.score for label in best] == pytest.approx(written, abs=1e-6)


def test_a_sampler_that_is_not_used_is_reported(checkpoint, tmp_path, caplog):
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["data"]["test_sampler"] = {"class_path": "a.Sampler", "init_args": {}}
    torch.save(content, tmp_path / "other.ckpt")
    pks4_lightning.load(tmp_path / "other.ckpt", device="cpu")
    other = ["--ckpt_path", str(tmp_path / "other.ckpt")]
    assert main(["export-weights", *other, "--out", str(tmp_path / "o")]) == 0
    said = f"{tmp_path / 'other.ckpt'} sets data.test_sampler, which only `pks4 test` and"
    assert caplog.text.count(said) == 2
    caplog.clear()
    pks4_lightning.load(checkpoint, device="cpu")
    assert "test_sampler" not in caplog.text


@pytest.mark.parametrize("method", ["predict", "features"])
@pytest.mark.parametrize("name", ["num_best", "num_clips", "num_crops", "batch_size"])
@pytest.mark.parametrize("number", [0, -1, "all"])
def test_numbers_that_are_not_positive_are_refused(model, videos, method, name, number):
    if (method, name) == ("features", "num_best"):
        return
    with pytest.raises(ValueError, match=f"{name} is {number}; it must be at least 1"):
        getattr(model, method)(videos[0], **{name: number})


@pytest.mark.parametrize("dtype", [torch.int8, torch.float64])
def test_precisions_that_autocast_lacks_are_refused(checkpoint, dtype):
    with pytest.raises(ValueError, match=f"dtype is {dtype}; it must be one of torch.float32, "):
        pks4_lightning.load(checkpoint, device="cpu", dtype=dtype)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "xpu", ""])
def test_devices_that_the_machine_lacks_are_refused_with_those_it_has(checkpoint, device):
    with pytest.raises(ValueError, match=f"^device is '{device}', which .* it has cpu"):
        pks4_lightning.load(checkpoint, device=device)


def test_an_export_predicts_like_its_checkpoint(model, checkpoint, videos, tmp_path):
    given = ["--ckpt_path", str(checkpoint), "--out", str(tmp_path / "export")]
    assert main(["export-weights", *given]) == 0
    exported = pks4_lightning.load(tmp_path / "export", device="cpu")
    assert exported.predict(videos) == model.predict(videos)


def test_the_features_are_the_inputs_of_the_head(model, videos):
    features = model.features(videos[0])
    with torch.inference_mode():
        logits = model.classifier.head(features)
    torch.testing.assert_close(logits, model.logits(model.preprocess(videos[0]))[0])


def test_half_precision_agrees_roughly(checkpoint, model, videos):
    low = pks4_lightning.load(checkpoint, device="cpu", dtype=torch.bfloat16)
    close = pytest.approx([label.score for label in model.predict(videos[0])], abs=0.02)
    assert [label.score for label in low.predict(videos[0])] == close


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), "B"),
        np.zeros((4, 0, 8, 3), "B"),
        torch.zeros(4, 8, 8, 3, requires_grad=True),
    ],
)
def test_arrays_of_another_shape_are_refused_with_their_shape(model, array):
    with pytest.raises(ValueError, match="T x H x W x 3 of uint8"):
        model.predict(array)


def test_what_is_no_video_is_refused_with_its_type(model, videos):
    with videos[0].open("rb") as file:
        for given in (iter(videos), set(videos), file):
            kind = type(given).__name__
            with pytest.raises(ValueError, match=f"^A {kind} is not a video: give a path"):
                model.predict(given)


@pytest.mark.parametrize("shape", [(1, 4, 3, 32, 32), (3, 4, 32, 32)])
def test_clips_of_another_form_are_refused_with_their_shape(model, shape):
    for clips, kind in ((torch.zeros(shape), "Tensor"), (np.zeros(shape), "ndarray")):
        with pytest.raises(
            ValueError, match=f"B x 3 x T x S x S.* got {re.escape(str(shape))} of {kind}"
        ):
            model.logits(clips)


def test_the_example_in_the_docstring_is_true(checkpoint, videos, tmp_path, monkeypatch):
    run = tmp_path / "runs" / "demo" / "pks4" / "checkpoints"
    run.mkdir(parents=True)
    (run / "best.ckpt").symlink_to(checkpoint)
    for name, video in zip(("clip.mp4", "other.mp4"), videos, strict=False):
        (tmp_path / name).symlink_to(video)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(inference)
    assert (result.attempted, result.failed) == (7, 0)


def test_an_empty_name_is_not_the_current_folder(model):
    with pytest.raises(ValueError, match=r"^The classifier's name is empty: "):
        pks4_lightning.load("")
    for method in (model.predict, model.features):
        with pytest.raises(ValueError, match="'': its name is empty"):
            method("")


def test_a_missing_source_is_named(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt"):
        pks4_lightning.load(tmp_path / "nowhere.ckpt")
    with pytest.raises(pks4_lightning.data.VideoDecodeError, match=r"nowhere\.mp4"):
        model.predict(tmp_path / "nowhere.mp4")
