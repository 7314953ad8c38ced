import pytest
import torch

from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.class_route import (
    ClassTokenRoute,
    PatchTokenShift,
    TokenShift,
    TokenT1D,
)
from pks4_lightning.models.towers.architecture import backbone_fields
from pks4_lightning.models.towers.clip import CLIP
from pks4_lightning.models.towers.weights import build_backbone
from tests.helpers.reference import clip_block_with_class_route

B, T, L, D = 2, 4, 5, 16
SHIFT_TAPS = torch.tensor([[0.0, 0.0, 1.0]] * 4 + [[1.0, 0.0, 0.0]] * 4 + [[0.0, 1.0, 0.0]] * 8)


@pytest.fixture
def block_points(tiny_fields, randomise):
    fields = backbone_fields("", overrides=tiny_fields, from_scratch=True)
    return CLIP.hook_points(randomise(build_backbone(fields, weights=None)))[0]


def run_block(points, tokens):
    return points.block(tokens.flatten(0, 1), None).unflatten(0, tokens.shape[:2])


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["token_t1d", "token_shift"])
def test_hooks_equal_the_block_written_out_forward_and_backward(
    block_points, randomise, draw, kind
):
    route = randomise(ClassTokenRoute(D, kind=kind))
    route.insert(block_points, ClipLayout(num_frames=T))
    taps = [
        module.weight.squeeze(1) if kind == "token_t1d" else SHIFT_TAPS
        for module in (route.before_attention, route.before_mlp)
    ]
    parameters = [*block_points.block.parameters(), *route.parameters()]
    results = []
    for forward in (run_block, None):
        tokens = draw(B, T, L, D).requires_grad_()
        if forward:
            y = run_block(block_points, tokens)
        else:
            y = clip_block_with_class_route(block_points.block, tokens, *taps)
        gradients = torch.autograd.grad(y, [tokens, *parameters], draw(*y.shape, seed=1))
        results.append([y, *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_convolution_starts_as_the_shift(draw):
    x = draw(B, T, D)
    torch.testing.assert_close(TokenT1D(D)(x), TokenShift()(x), rtol=0, atol=0)
    torch.testing.assert_close(TokenT1D(D).weight.squeeze(1), SHIFT_TAPS, rtol=0, atol=0)


def test_the_shift_moves_quarters_of_the_channels():
    frames = torch.arange(1.0, 4.0).view(1, 3, 1).expand(1, 3, 8)
    shifted = TokenShift()(frames)[0].T.tolist()
    assert shifted == [[2, 3, 0]] * 2 + [[0, 1, 2]] * 2 + [[1, 2, 3]] * 4


def test_tsm_moves_eighths_of_the_patch_channels_before_attention(block_points, draw):
    tokens = draw(B, T, L, D)
    before = run_block(block_points, tokens)
    normed = block_points.attention_norm(tokens)
    expected = normed.clone()
    expected[:, :, 1:, :2] = 0
    expected[:, :-1, 1:, :2] = normed[:, 1:, 1:, :2]
    expected[:, :, 1:, 2:4] = 0
    expected[:, 1:, 1:, 2:4] = normed[:, :-1, 1:, 2:4]

    shift = PatchTokenShift()
    shift.insert(block_points, ClipLayout(num_frames=T))
    seen = []
    handle = block_points.attention_add.register_forward_pre_hook(
        lambda _, _args, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
    )
    after = run_block(block_points, tokens)
    handle.remove()
    torch.testing.assert_close(seen[0].unflatten(0, (B, T)), expected)
    assert not torch.allclose(after, before)


@pytest.mark.parity
@pytest.mark.parametrize("shifts", ["attention", "block"])
def test_tsm_equals_the_block_written_out_forward_and_backward(block_points, draw, shifts):
    block = block_points.block.double()

    def shifted(x):
        eighth = x.shape[-1] // 8
        parts = [x[:, :, :1]]
        patches = x[:, :, 1:]
        later = torch.cat([patches[:, 1:], 0 * patches[:, :1]], dim=1)
        earlier = torch.cat([0 * patches[:, :1], patches[:, :-1]], dim=1)
        channels = [later[..., :eighth], earlier[..., eighth : 2 * eighth]]
        parts.append(torch.cat([*channels, patches[..., 2 * eighth :]], dim=-1))
        return torch.cat(parts, dim=2)

    def written_out(tokens):
        stream = shifted(tokens) if shifts == "block" else tokens
        read = block.layer_norm1(stream)
        read = shifted(read) if shifts == "attention" else read
        mixed, _ = block.self_attn(hidden_states=read.flatten(0, 1))
        stream = stream + mixed.unflatten(0, (B, T))
        return stream + block.mlp(block.layer_norm2(stream))

    tokens = draw(B, T, L, D, dtype=torch.float64).requires_grad_()
    leaves = [tokens, *block.parameters()]
    cotangent = draw(B, T, L, D, seed=1, dtype=torch.float64)
    expected = written_out(tokens)
    expected_gradients = torch.autograd.grad(expected, leaves, cotangent)
    PatchTokenShift(shifts=shifts).insert(block_points, ClipLayout(num_frames=T))
    y = run_block(block_points, tokens)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(y, leaves, cotangent), expected_gradients, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", ["token_t1d", "token_shift", "tsm"])
def test_remove_undoes_insert(block_points, draw, kind):
    tokens = draw(B, T, L, D)
    before = run_block(block_points, tokens)
    route = PatchTokenShift() if kind == "tsm" else ClassTokenRoute(D, kind=kind)
    route.insert(block_points, ClipLayout(num_frames=T))
    assert not torch.allclose(run_block(block_points, tokens), before)
    route.remove()
    torch.testing.assert_close(run_block(block_points, tokens), before, rtol=0, atol=0)
    for module in block_points.block.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_keeps_no_activation_alive(block_points, draw):
    route = ClassTokenRoute(D, kind="token_t1d")
    route.insert(block_points, ClipLayout(num_frames=T))
    run_block(block_points, draw(B, T, L, D))
    assert not [x for x in vars(route).values() if isinstance(x, torch.Tensor)]


def test_the_class_tokens_residual_stream_stays_in_float32_under_autocast(draw):
    route = TokenT1D(D)
    with torch.autocast("cpu", torch.bfloat16):
        assert route(draw(B, T, D)).dtype == torch.float32
