from collections.abc import Callable

import jaxtyping
import pytest
import torch

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.config import PKS4Config
from tests.helpers.towers import TINY_TOWER


@pytest.fixture
def unchecked(monkeypatch):
    """Run without the checks of types and shapes that only the tests have, as users do."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def tiny_fields() -> dict:
    return dict(TINY_TOWER)


@pytest.fixture
def make_classifier(randomise) -> Callable[..., PKS4Classifier]:
    """Build a tiny classifier; by default all its parameters are random."""

    def make(*, fresh: bool = False, **settings) -> PKS4Classifier:
        config = {
            "num_classes": 5,
            "pretrained": False,
            "backbone_config": dict(TINY_TOWER),
            "insert_after": 2,
            "window_size": 3,
            "d_prior": 4,
            "d_state": 4,
        }
        classifier = build_classifier(PKS4Config(**{**config, **settings}))
        return classifier if fresh else randomise(classifier)

    return make


@pytest.fixture
def randomise() -> Callable[[torch.nn.Module], torch.nn.Module]:
    """Set all parameters to fixed random values, because some initial values block gradients."""

    @torch.no_grad()
    def draw(module, seed=0):
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in sorted(module.named_parameters()):
            noise = torch.empty_like(parameter).normal_(generator=generator)
            if parameter.ndim > 1 and not name.endswith("A_log"):
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                is_scale = name.endswith((".weight", "D"))
                parameter.copy_(is_scale + 0.1 * noise)
        return module

    return draw


@pytest.fixture
def draw() -> Callable[..., torch.Tensor]:
    """Standard normal values from a separate generator."""

    def normal(*shape, seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return normal
