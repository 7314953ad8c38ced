"""The script beside an export makes clips as the package does, of videos of every kind."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import pks4_lightning
from pks4_lightning.export.run import read_clips, scores
from pks4_lightning.inference import TrainedClassifier
from tests.data.video.test_orientation import write as write_turned
from tests.helpers.media import Clip, write_clip

KINDS = {
    "wide": Clip(".mp4", b_frames=2),
    "high": Clip(".webm", height=90, width=64),
    "short": Clip(".mkv", num_frames=3),
    "square": Clip(".avi", height=36, width=36),
}


@pytest.fixture(scope="module")
def model(trained):
    return pks4_lightning.load(trained / "checkpoints" / "best.ckpt", device="cpu")


def clips_of(model, path, folder, num_clips, num_crops):
    clip = model.clip
    spec = {
        "num_frames": clip.num_frames,
        "num_clips": num_clips,
        "num_crops": num_crops,
        "frame_rate": clip.frame_rate,
        "resize": clip.resize,
        "frame_size": clip.frame_size,
        "mean": clip.mean,
        "std": clip.std,
    }
    (folder / "preprocessing.json").write_text(json.dumps(spec))
    return torch.from_numpy(read_clips(path, folder))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_clips", "num_crops"), [(1, 1), (2, 3)])
def test_clips_are_those_of_the_package(model, tmp_path, kind, num_clips, num_crops):
    path = write_clip(tmp_path / "clip", KINDS[kind])
    expected = model.preprocess(path, num_clips=num_clips, num_crops=num_crops)
    found = clips_of(model, path, tmp_path, num_clips, num_crops)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "num_clips"), [(5.0, 1), (2.0, 2), (60.0, 3)])
def test_clips_at_a_fixed_rate_are_those_of_the_package(model, tmp_path, kind, rate, num_clips):
    path = write_clip(tmp_path / "clip", KINDS[kind])
    at_rate = TrainedClassifier(
        model.classifier, replace(model.clip, frame_rate=rate), device=model.device,
        dtype=model.dtype,
    )  # fmt: skip
    found = clips_of(at_rate, path, tmp_path, num_clips, 1)
    expected = at_rate.preprocess(path, num_clips=num_clips, num_crops=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_turned_videos_are_upright(model, tmp_path, degrees):
    path = write_turned(tmp_path / "clip.mp4", (degrees, False, False))
    found = clips_of(model, path, tmp_path, 1, 3)
    expected = model.preprocess(path, num_clips=1, num_crops=3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_scores_are_a_mean_of_shares_whatever_the_logits():
    logits = np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32)
    assert scores(logits) == pytest.approx([0.75, 0.25])
