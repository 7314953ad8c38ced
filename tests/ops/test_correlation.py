import functools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pks4_lightning.cost.traffic import count_traffic
from pks4_lightning.ops.correlation import correlate, local_correlation
from pks4_lightning.ops.temporal_shift import context_offsets, shift_frames
from tests.helpers.pks4_equations import correlations
from tests.helpers.reference import local_correlation_loop

OFFSETS = {
    "both sides": (-2, -1, 0, 1, 2),
    "causal": (-2, -1, 0),
    "later": (1, 2, 3),
    "itself": (0,),
    "previous": (-1,),
    "out of reach": (-9, -8),
    "gaps": (-3, 0, 2),
    "descending": (1, 0),
}
# B T C H W
SHAPES = {
    "odd": (2, 5, 3, 3, 7),
    "short": (2, 2, 4, 4, 3),
    "one frame": (3, 1, 2, 2, 3),
    "one patch": (2, 4, 3, 1, 1),
    "one channel": (1, 3, 1, 5, 2),
}


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


def with_gradients(function, *inputs, cotangent=None, **settings):
    """Results and the gradients of all inputs."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    y = function(*inputs, **settings)
    y.backward(make_features(*y.shape, dtype=y.dtype) if cotangent is None else cotangent)
    return [y.detach(), *(x.grad for x in inputs)]


def traced_by_export(function, *inputs, **settings):
    """The function as a graph of torch's own operators."""

    class Module(torch.nn.Module):
        def forward(self, *inputs):
            return function(*inputs, **settings)

    return torch.export.export(Module(), inputs, strict=False).module()


@pytest.mark.parametrize("window_size", [1, 3, 9])
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_the_formula_for_all_offsets(shape, offsets, window_size):
    x = make_features(*shape)
    torch.testing.assert_close(
        with_gradients(local_correlation, x, offsets=offsets, window_size=window_size),
        with_gradients(lambda x: correlations(x, offsets, window_size), x),
    )


@pytest.mark.parametrize(
    ("dtype", "bound"),
    [(torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.float16, 1e-3)],
    ids=str,
)
@pytest.mark.parametrize("offsets", [(-2, -1, 0, 1, 2), (-2, -1, 0), (-3, 0, 2)], ids=str)
def test_rounds_little_in_lower_precision(dtype, bound, offsets):
    x = make_features(2, 4, 8, 5, 6).to(dtype)
    settings = {"offsets": offsets, "window_size": 5}
    cotangent = make_features(2, 4, len(offsets), 25, 5, 6).to(dtype)
    found = with_gradients(local_correlation, x, cotangent=cotangent, **settings)
    exact = with_gradients(local_correlation, x.double(), cotangent=cotangent.double(), **settings)
    for rounded, expected in zip(found, exact, strict=True):
        assert rounded.dtype == dtype
        assert (rounded - expected).norm() < bound * expected.norm()


@pytest.mark.parametrize("offsets", [(-1, 0, 1), (-2, -1, 0), (-2, 1)], ids=str)
def test_gradients_are_those_of_finite_differences(offsets):
    x = make_features(2, 3, 2, 3, 2).requires_grad_()
    torch.autograd.gradcheck(lambda x: local_correlation(x, offsets=offsets, window_size=3), x)


def test_gradients_of_given_frames_are_those_of_finite_differences():
    x = make_features(2, 2, 2, 3, 2).requires_grad_()
    near = make_features(2, 2, 2, 2, 3, 2).requires_grad_()
    torch.autograd.gradcheck(lambda x, near: correlate(x, near, window_size=3), (x, near))


def test_a_second_derivative_is_refused():
    x = make_features(1, 2, 2, 2, 2).requires_grad_()
    scores = local_correlation(x, offsets=(0,), window_size=1)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(scores.sum(), x, create_graph=True)


@pytest.mark.parametrize("offsets", [(-2, -1, 0, 1, 2), (-2, -1, 0), (-3, 0, 2)], ids=str)
def test_given_frames_are_compared_like_those_of_the_clip(offsets):
    x = make_features(2, 4, 3, 3, 5)

    def by_given_frames(x):
        near = torch.stack([shift_frames(x, offset) for offset in offsets], dim=2)
        return correlate(x, near, window_size=3)

    torch.testing.assert_close(
        with_gradients(by_given_frames, x),
        with_gradients(local_correlation, x, offsets=offsets, window_size=3),
    )


@pytest.mark.parametrize("offsets", [(-2, -1, 0, 1, 2), (-3, 0, 2)], ids=str)
def test_strides_do_not_matter(offsets):
    settings = {"offsets": offsets, "window_size": 3}
    x = make_features(2, 4, 3, 3, 5)
    cotangent = make_features(2, 4, len(offsets), 9, 3, 5)
    expected = with_gradients(local_correlation, x, cotangent=cotangent, **settings)
    for last in (1, 2, 3):  # which axis of the inputs is contiguous
        strided = x.movedim(last, -1).contiguous().movedim(-1, last).requires_grad_()
        y = local_correlation(strided, **settings)
        y.backward(cotangent.movedim(last, -1).contiguous().movedim(-1, last))
        torch.testing.assert_close([y.detach(), strided.grad], expected)
    # a cotangent without memory of its own
    ones = torch.ones(()).double().expand_as(cotangent)
    torch.testing.assert_close(
        with_gradients(local_correlation, x, cotangent=ones, **settings),
        with_gradients(local_correlation, x, cotangent=ones.contiguous(), **settings),
    )


@pytest.mark.parametrize("offsets", [(-2, -1, 0, 1, 2), (-2, -1, 0), (-3, 0, 2)], ids=str)
def test_a_traced_graph_computes_the_same(offsets):
    settings = {"offsets": offsets, "window_size": 5}
    x, near = make_features(2, 4, 3, 3, 6), make_features(2, 4, 2, 3, 3, 6)
    for function, inputs, own in [
        (local_correlation, [x], settings),
        (correlate, [x, near], {"window_size": 5}),
    ]:
        traced = traced_by_export(function, *inputs, **own)
        torch.testing.assert_close(
            with_gradients(traced, *inputs), with_gradients(function, *inputs, **own)
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_autocast_computes_the_products_in_its_dtype(dtype):
    x, settings = make_features(2, 3, 4, 3, 3, dtype=dtype), {"offsets": (-1, 0), "window_size": 3}
    eager = functools.partial(local_correlation, **settings)
    traced = traced_by_export(local_correlation, x, **settings)
    with torch.autocast("cpu", torch.bfloat16):
        found, by_graph = (with_gradients(f, x) for f in (eager, traced))
    # double precision is not reduced
    assert found[0].dtype == (torch.bfloat16 if dtype == torch.float32 else dtype)
    assert found[1].dtype == dtype
    torch.testing.assert_close(found[0], by_graph[0], rtol=0, atol=0)
    torch.testing.assert_close(found[1], by_graph[1], rtol=2e-2, atol=2e-2)


def test_fake_tensors_have_the_shapes_and_strides_of_real_ones():
    def strides():
        x = torch.ones(2, 4, 3, 3, 5, requires_grad=True)
        y = local_correlation(x, offsets=(-1, 0, 1), window_size=3)
        y.sum().backward()
        return y.shape, y.stride(), x.grad.shape

    real = strides()
    with FakeTensorMode():
        assert strides() == real


def test_every_frame_is_copied_once_however_many_frames_compare_with_it():
    B, T, C, H, W, size = 2, 6, 4, 3, 5, 3
    x = torch.ones(B, T, C, H, W)
    for offsets in [(0,), (-2, -1, 0, 1, 2)]:
        copied = count_traffic(
            lambda: local_correlation(x, offsets=offsets, window_size=size)  # noqa: B023
        ).copied
        # as patches and as frames to compare with; and the scores, out of products of whole rows
        frames, scores = 2 * x.numel(), B * T * len(offsets) * size**2 * H * W
        assert copied == 4 * 2 * (frames + scores)


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
