import pytest
import torch

from pks4_lightning.ops.temporal_shift import context_offsets
from pks4_lightning.ops.variation import temporal_variation
from tests.helpers.reference import temporal_variation_loop


def make_features(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parity
@pytest.mark.parametrize("context_frames", [0, 2, 4, 6])
@pytest.mark.parametrize("num_frames", [1, 2, 5], ids=lambda T: f"T{T}")
def test_equals_the_formula(num_frames, context_frames):
    x = make_features(2, num_frames, 3, 2, 2)
    ours = temporal_variation(x, offsets=context_offsets(context_frames))
    torch.testing.assert_close(ours, temporal_variation_loop(x, context_frames), rtol=0, atol=0)


def test_a_static_clip_does_not_vary_even_at_its_ends():
    clip = make_features(1, 1, 3, 2, 2).expand(1, 6, 3, 2, 2)
    assert (temporal_variation(clip, offsets=range(-2, 3)) == 0).all()


def test_negative_ends_are_frames_of_zeros_around_the_clip():
    x = make_features(1, 3, 2, 2, 2)
    zeros = torch.zeros_like(x[:, :1])
    framed = temporal_variation(torch.cat([zeros, x, zeros], dim=1), offsets=(-1, 0, 1))
    negative = temporal_variation(x, offsets=(-1, 0, 1), ends="negative")
    assert torch.equal(negative, framed[:, 1:-1])
    assert torch.equal(negative[:, 0, 0], -x[:, 0])
