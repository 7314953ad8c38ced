import pytest

from pks4_lightning.models.config import PKS4Config

TINY = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": 8,
    "image_size": 32,
    "projection_dim": 12,
}


@pytest.fixture
def tiny():
    """Build the config of a tiny classifier; options override its own."""

    def make(**options):
        own = {"num_classes": 5, "pretrained": False, "backbone_config": dict(TINY)}
        sizes = {"insert_after": 2, "window_size": 3, "d_prior": 8, "d_state": 4}
        return PKS4Config(**{**own, **sizes, **options})

    return make
