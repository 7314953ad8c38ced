import pytest
import torch

from pks4_lightning.ops.correlation import local_correlation
from pks4_lightning.ops.temporal_shift import context_offsets
from tests.helpers.reference import local_correlation_loop


def make_features(*shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("shape", "context_frames", "window_size"),
    [
        ((2, 3, 4, 3, 4), 2, 3),
        ((1, 4, 3, 2, 5), 4, 3),
        ((1, 1, 3, 3, 2), 4, 5),
        ((1, 2, 3, 2, 3), 2, 9),
        ((1, 2, 3, 4, 2), 0, 1),
    ],
    ids=["plain", "wide", "one-frame", "grid-smaller-than-window", "itself"],
)
def test_equals_the_formula(shape, context_frames, window_size):
    ours, theirs = (make_features(*shape).requires_grad_() for _ in range(2))
    scores = local_correlation(
        ours, offsets=context_offsets(context_frames), window_size=window_size
    )
    expected = local_correlation_loop(theirs, context_frames, window_size)
    torch.testing.assert_close(scores, expected)
    cotangent = make_features(*scores.shape)
    scores.backward(cotangent)
    expected.backward(cotangent)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (-1, 0), (0, -1), (2, -2)])
def test_the_peak_follows_a_shift_of_the_frame(down, right):
    frame = make_features(16, 9, 9)
    clip = torch.stack([frame, frame.roll((down, right), dims=(1, 2))]).unsqueeze(0)
    scores = local_correlation(clip, offsets=(-1, 0, 1), window_size=5)
    # offset +1 of the first frame, away from the border, where the roll wraps around
    peaks = scores[0, 0, 2, :, 2:-2, 2:-2].argmax(0)
    assert (peaks == (down + 2) * 5 + right + 2).all()


def test_a_patch_correlates_with_itself_fully():
    scores = local_correlation(make_features(1, 2, 4, 3, 3), offsets=(-1, 0, 1), window_size=3)
    torch.testing.assert_close(scores[:, :, 1, 4], torch.ones_like(scores[:, :, 1, 4]))


def test_the_length_of_features_does_not_matter():
    x = make_features(1, 2, 4, 3, 3)
    scale = torch.rand(1, 2, 1, 3, 3, generator=torch.Generator().manual_seed(1)) + 0.5
    settings = {"offsets": (-1, 0, 1), "window_size": 3}
    torch.testing.assert_close(
        local_correlation(scale * x, **settings), local_correlation(x, **settings)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_patches_of_zeros_give_zero_and_finite_gradients(dtype):
    x = torch.zeros(1, 2, 4, 3, 3, dtype=dtype, requires_grad=True)
    scores = local_correlation(x, offsets=(-1, 0, 1), window_size=3)
    scores.sum().backward()
    assert scores.dtype == dtype
    assert (scores == 0).all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("window_size", [0, 4, -3])
def test_a_window_without_a_centre_is_refused(window_size):
    with pytest.raises(ValueError, match=rf"window_size \({window_size}\) must be odd"):
        local_correlation(make_features(1, 1, 2, 2, 2), offsets=(-1, 0, 1), window_size=window_size)
