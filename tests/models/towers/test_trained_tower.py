"""A pretrained tower, if there is one beside the repository."""

import json

import av
import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import preprocessing_of
from tests.conftest import ROOT

TOWER = ROOT.parent / "shared" / "towers" / "vit_tiny_patch16_224"
CLIPS = ROOT.parent / "shared" / "clips"

pytestmark = pytest.mark.skipif(
    not (TOWER.is_dir() and CLIPS.is_dir()), reason="no trained tower beside the repository"
)


@pytest.fixture(scope="module")
def reference():
    return json.loads((TOWER / "reference_vectors.json").read_text())["vectors"]


def sixth_frame(path, preprocessing):
    """Return frame 5, centre-cropped to a square, resized to the tower's input and normalised."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        frame = next(frame for index, frame in enumerate(frames) if index == 5)
        pixels = torch.from_numpy(frame.to_ndarray(format="rgb24"))
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side].permute(2, 0, 1)[None].float() / 255
    size = (preprocessing.size, preprocessing.size)
    square = F.interpolate(square, size=size, mode="bilinear", antialias=True)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (preprocessing.mean, preprocessing.std))
    return (square - mean) / std


@torch.no_grad()
def test_vectors_of_real_frames_equal_the_published_ones(reference):
    config = PKS4Config(num_classes=5, backbone=str(TOWER), class_route="none", prior_init="zero")
    classifier = build_classifier(config).eval()
    seen = []
    classifier.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert len(reference) >= 6
    for name, expected in reference.items():
        frame = sixth_frame(CLIPS / name, preprocessing_of(config))
        classifier(frame.unsqueeze(2))  # a clip of one frame; the module changes nothing
        (vector,) = seen.pop()
        torch.testing.assert_close(vector, torch.tensor(expected), rtol=0, atol=1e-4, msg=name)
