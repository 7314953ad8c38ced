"""Traced classifiers of every reading compute the same as the originals."""

import pytest
import torch

from pks4_lightning.export.graph import trace
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from tests.helpers.towers import TINY_TOWER


@pytest.mark.parity
@pytest.mark.parametrize(
    "settings",
    [
        {"scanner": "gru", "context_frames": 0, "zero_context": "previous"},
        {"scanner": "attention", "residual": "literal", "class_route": "tsm"},
        {
            "scanner": "none",
            "variation_ends": "negative",
            "prior_precision": "fp32",
            "class_route": "tsm",
            "tsm_shifts": "block",
        },
    ],
    ids=str,
)
def test_a_graph_equals_the_classifier_for_any_number_of_clips(settings):
    torch.manual_seed(0)
    sizes = {"insert_after": 2, "window_size": 3, "d_prior": 4, "d_state": 4}
    config = PKS4Config(
        num_classes=5, pretrained=False, backbone_config=TINY_TOWER, **sizes, **settings
    )
    classifier = build_classifier(config).eval()
    if classifier.pks4.scanner is not None:
        torch.nn.init.normal_(classifier.pks4.scanner.out_proj.weight, std=0.3)
    program = trace(classifier, num_frames=4, frame_size=32).module()
    with torch.no_grad():
        for num_clips in (1, 3):
            clips = torch.randn(num_clips, 3, 4, 32, 32)
            torch.testing.assert_close(program(clips), classifier(clips), rtol=0, atol=1e-6)
