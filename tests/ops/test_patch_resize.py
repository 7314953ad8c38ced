import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.ops.patch_resize import patch_resize_matrix, resize_patches
from tests.helpers.reference import patch_tokens_of_resized_weights

SIZES = [1, 5, 6, 8, 12, 14, 16, 18, 24, 28, 48]


def pictures(count, side, *, seed=0):
    """Random images of unit variance with the 1/f amplitude spectrum of photographs."""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.fft.fftfreq(side).square()
    frequency = (frequency[:, None] + frequency).clamp_min(side**-2).sqrt()
    noise = torch.randn(count, 1, side, side, generator=generator, dtype=torch.float64)
    pixels = torch.fft.ifft2(torch.fft.fft2(noise) / frequency).real
    return pixels / pixels.std()


def bicubic(x, size):
    return F.interpolate(x, size=(size, size), mode="bicubic", antialias=True)


def errors(patch_size):
    """Relative error of the tokens of resized 16×16 patches: ours, and with bicubic weights."""
    patches = F.unfold(pictures(16, 128), 16, stride=16).transpose(1, 2).reshape(-1, 1, 16, 16)
    weights = pictures(64, 16, seed=1)
    expected = F.conv2d(patches, weights)
    resized = bicubic(patches, patch_size)
    ours = F.conv2d(resize_patches(resized, patch_size=patch_size, weight_size=16), weights)
    plain = F.conv2d(resized, bicubic(weights, patch_size))
    return [float((tokens - expected).norm() / expected.norm()) for tokens in (ours, plain)]


@pytest.mark.parity
@pytest.mark.parametrize("patch_size", SIZES)
def test_tokens_and_gradients_are_those_of_weights_resized_by_flexivit(patch_size):
    generator = torch.Generator().manual_seed(2)
    draws = {"generator": generator, "dtype": torch.float64}
    frames = torch.randn(2, 3, 2 * patch_size, 3 * patch_size, **draws).requires_grad_()
    weights = torch.randn(4, 3, 16, 16, **draws).requires_grad_()
    ours = F.conv2d(
        resize_patches(frames, patch_size=patch_size, weight_size=16), weights, stride=16
    )
    theirs = patch_tokens_of_resized_weights(frames, weights, patch_size)
    torch.testing.assert_close(ours, theirs)
    probe = torch.randn(ours.shape, **draws)
    for mine, other in zip(
        torch.autograd.grad(ours, (frames, weights), probe),
        torch.autograd.grad(theirs, (frames, weights), probe),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("patch_size", [3, 4, 7])
def test_gradients_are_exact(patch_size):
    generator = torch.Generator().manual_seed(3)
    draws = {"generator": generator, "dtype": torch.float64, "requires_grad": True}
    frames = torch.randn(1, 2, patch_size, 2 * patch_size, **draws)
    weights = torch.randn(2, 2, 4, 4, **draws)

    def tokens(frames, weights):
        fitted = resize_patches(frames, patch_size=patch_size, weight_size=4)
        return F.conv2d(fitted, weights, stride=4)

    assert torch.autograd.gradcheck(tokens, (frames, weights))


@pytest.mark.parametrize("patch_size", [18, 24, 28, 48])
def test_enlarged_patches_give_the_same_tokens(patch_size):
    ours, plain = errors(patch_size)
    assert ours < 1e-14
    assert plain > 0.2


@pytest.mark.parametrize(("patch_size", "most"), [(14, 0.035), (12, 0.055), (8, 0.11), (6, 0.15)])
def test_reduced_patches_give_nearly_the_same_tokens(patch_size, most):
    ours, plain = errors(patch_size)
    assert most / 2 < ours < most
    assert plain == pytest.approx(1 - (patch_size / 16) ** 2, abs=0.05), "scaled with the area"


@pytest.mark.parametrize("size", [1, 8, 14, 16])
def test_equal_sizes_change_nothing(size):
    frames = torch.randn(2, 3, 2 * size, 3 * size)
    assert resize_patches(frames, patch_size=size, weight_size=size) is frames


def test_patches_do_not_mix():
    frames = torch.zeros(1, 1, 24, 36)
    frames[..., 12:24, 12:24] = 1.0
    fitted = resize_patches(frames, patch_size=12, weight_size=16)
    assert fitted.shape == (1, 1, 32, 48)
    touched = F.max_pool2d(fitted.abs(), 16)[0, 0] > 0
    assert touched.tolist() == [[False, False, False], [False, True, False]]


def test_half_precision_and_autocast_do_not_reach_the_resize():
    frames = torch.rand(1, 3, 32, 32)
    exact = resize_patches(frames, patch_size=8, weight_size=16)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = resize_patches(frames, patch_size=8, weight_size=16)
    torch.testing.assert_close(under_autocast, exact, rtol=0, atol=0)
    halves = frames.bfloat16()
    expected = resize_patches(halves.float(), patch_size=8, weight_size=16).bfloat16()
    torch.testing.assert_close(
        resize_patches(halves, patch_size=8, weight_size=16), expected, rtol=0, atol=0
    )


@pytest.mark.parametrize("patch_size", [18, 24, 48])
def test_the_matrix_undoes_an_enlargement(patch_size):
    pixels = torch.eye(16, dtype=torch.float64)
    enlarged = F.interpolate(
        pixels[None, None], size=(patch_size, 16), mode="bicubic", antialias=True
    )[0, 0]
    torch.testing.assert_close(patch_resize_matrix(patch_size, 16) @ enlarged, pixels)


def test_frames_that_patches_do_not_cover_are_refused():
    with pytest.raises(ValueError, match="Frames of 20x24 pixels cannot be cut into patches of 8x"):
        resize_patches(torch.zeros(1, 3, 20, 24), patch_size=8, weight_size=16)
