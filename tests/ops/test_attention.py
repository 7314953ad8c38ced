import pytest
import torch

from pks4_lightning.ops.attention import attention


def make_inputs(dtype, num_tokens=7):
    draw = torch.Generator().manual_seed(0)
    shape = (4, 2, 3, num_tokens, 8)  # queries, keys, values, and the gradient of the output
    return torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype).unbind()


def with_gradients(attend, inputs, upstream):
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = attend(*leaves)
    return y, *torch.autograd.grad(y, leaves, upstream.to(y.dtype))


def formula(query, key, value):
    weights = (query @ key.mT / query.shape[-1] ** 0.5).exp()
    return weights / weights.sum(-1, keepdim=True) @ value


@pytest.mark.parity
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)],
    ids=str,
)
def test_equals_the_formula(dtype, tolerance):
    *inputs, upstream = make_inputs(dtype)
    ours = with_gradients(attention, inputs, upstream)
    exact = with_gradients(formula, [x.double() for x in inputs], upstream)
    for found, expected in zip(ours, exact, strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_on_a_cpu_is_float32_rounded_once(dtype, autocast):
    *inputs, upstream = make_inputs(dtype, num_tokens=37)
    with torch.autocast("cpu", dtype, enabled=autocast):
        ours = with_gradients(attention, inputs, upstream)
    single = with_gradients(attention, [x.float() for x in inputs], upstream)
    for found, expected in zip(ours, single, strict=True):
        assert torch.equal(found, expected.to(dtype))


def test_takes_a_mask_and_a_scale():
    query, key, value, _ = make_inputs(torch.bfloat16)
    visible = torch.ones(7, 7, dtype=torch.bool).tril()
    ours = attention(query, key, value, attn_mask=visible, scale=0.5)
    first = attention(query[..., :1, :], key[..., :1, :], value[..., :1, :], scale=0.5)
    assert torch.equal(ours[..., :1, :], first)
    assert not torch.equal(ours, attention(query, key, value, attn_mask=visible))
