import pytest

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from tests.helpers.towers import TINY_TOWER
from tests.models.conftest import draw, randomise

__all__ = ["draw", "make_peer", "randomise"]

VIT = {name: size for name, size in TINY_TOWER.items() if name != "projection_dim"}
VIT["model_type"] = "vit"
SMALL = {
    "st_adapter": {"d_adapter": 6},
    "aim": {"num_frames": 3, "drop_path_rate": 0.0},
    "evl": {"num_layers": 2, "num_frames": 3},
    "side4video": {"num_layers": 2, "d_side": 8, "d_head": 4},
}


@pytest.fixture
def make_peer(randomise):
    """Build a tiny classifier with a peer; by default all its parameters are random."""

    def make(temporal, *, fresh=False, temporal_config=None, tower=None, **settings):
        config = PKS4Config(
            num_classes=5,
            pretrained=False,
            backbone_config=tower or TINY_TOWER,
            temporal=temporal,
            temporal_config={**SMALL[temporal], **(temporal_config or {})},
            **settings,
        )
        classifier = build_classifier(config)
        return classifier if fresh else randomise(classifier)

    return make
