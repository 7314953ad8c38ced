import pytest

from pks4_lightning.models.config import PKS4Config
from tests.helpers.towers import TINY_TOWER


@pytest.fixture
def tiny():
    """Build the config of a tiny classifier; options override its own."""

    def make(**options):
        own = {"num_classes": 5, "pretrained": False, "backbone_config": dict(TINY_TOWER)}
        sizes = {"insert_after": 2, "window_size": 3, "d_prior": 8, "d_state": 4}
        return PKS4Config(**{**own, **sizes, **options})

    return make
