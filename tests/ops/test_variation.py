import pytest
import torch

from pks4_lightning.ops.variation import temporal_variation
from tests.helpers.reference import temporal_variation_loop


def make_features(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parity
@pytest.mark.parametrize("context_frames", [0, 2, 4, 6])
@pytest.mark.parametrize("num_frames", [1, 2, 5], ids=lambda T: f"T{T}")
def test_equals_the_formula(num_frames, context_frames):
    x = make_features(2, num_frames, 3, 2, 2)
    ours = temporal_variation(x, context_frames=context_frames)
    torch.testing.assert_close(ours, temporal_variation_loop(x, context_frames), rtol=0, atol=0)


def test_a_static_clip_does_not_vary_even_at_its_ends():
    clip = make_features(1, 1, 3, 2, 2).expand(1, 6, 3, 2, 2)
    assert (temporal_variation(clip, context_frames=4) == 0).all()


@pytest.mark.parametrize("context_frames", [3, -2])
def test_a_lopsided_neighbourhood_is_refused(context_frames):
    with pytest.raises(ValueError, match=rf"context_frames \({context_frames}\) must be even"):
        temporal_variation(make_features(1, 2, 1, 1, 1), context_frames=context_frames)
