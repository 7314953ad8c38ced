import functools

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from pks4_lightning.ops.conv.causal_conv import causal_conv_silu
from tests.helpers.scan_inputs import assert_all_close, run

causal_conv_silu = functools.partial(causal_conv_silu, backend="torch")


def make_inputs(num_steps, num_taps=4, dtype=torch.float64):
    draw = {"generator": torch.Generator().manual_seed(0), "dtype": dtype}
    return {
        "x": torch.randn(3, num_steps, 5, **draw),
        "weight": torch.randn(5, 1, num_taps, **draw),
        "bias": torch.randn(5, **draw),
    }


def conv1d_silu(x, weight, bias):
    num_taps = weight.shape[-1]
    y = F.conv1d(x.mT, weight, bias, padding=num_taps - 1, groups=weight.shape[0])
    return F.silu(y[..., : x.shape[1]].mT)


@pytest.mark.parity
@pytest.mark.parametrize("num_taps", [1, 2, 4])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 9], ids=lambda T: f"T{T}")
@pytest.mark.parametrize("backend", ["torch", "portable"])
def test_equals_torchs_convolution_forward_and_in_every_gradient(num_steps, num_taps, backend):
    inputs = make_inputs(num_steps, num_taps)
    ours = functools.partial(causal_conv_silu, backend=backend)
    assert_all_close(run(ours, inputs), run(conv1d_silu, inputs))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own use
@pytest.mark.parametrize("name", ["x", "weight", "bias"])
def test_a_derivative_in_forward_mode_is_refused(name):
    inputs = make_inputs(3)

    def of_one(value):
        return causal_conv_silu(**{**inputs, name: value})

    with pytest.raises(NotImplementedError, match="forward-mode derivative"):
        torch.func.jvp(of_one, (inputs[name],), (torch.ones_like(inputs[name]),))


@pytest.mark.parity
def test_takes_one_half_of_a_projection():
    inputs = make_inputs(6)
    inputs["x"] = torch.cat([inputs["x"], inputs["x"]], dim=-1)
    halved = {"op": causal_conv_silu, "theirs": conv1d_silu}
    results = {
        name: run(lambda x, f=function, **rest: f(x.chunk(2, dim=-1)[0], **rest), inputs)
        for name, function in halved.items()
    }
    assert_all_close(results["op"], results["theirs"])


def test_takes_and_returns_tokens_in_the_layout_of_a_vit():
    inputs = make_inputs(6)
    clips = {**inputs, "x": inputs["x"].unsqueeze(0)}

    def token_major(x, weight, bias):
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
        y = causal_conv_silu(x, weight, bias)
        assert y.transpose(1, 2).is_contiguous()
        return y

    assert_all_close(run(token_major, clips), run(causal_conv_silu, clips))


def test_is_causal():
    inputs = make_inputs(8)
    y = causal_conv_silu(**inputs)
    inputs["x"][:, 5:] += 1.0
    changed = causal_conv_silu(**inputs)
    torch.testing.assert_close(changed[:, :5], y[:, :5], rtol=0, atol=0)
    assert not torch.equal(changed[:, 5:], y[:, 5:])


def test_bfloat16_is_summed_in_float32():
    inputs = {name: x.bfloat16() for name, x in make_inputs(64, dtype=torch.float32).items()}
    results = run(causal_conv_silu, inputs)
    exact = causal_conv_silu(**{name: x.double() for name, x in inputs.items()})
    torch.testing.assert_close(results["y"], exact.bfloat16(), rtol=0, atol=0)
    assert {x.dtype for x in results.values()} == {torch.bfloat16}


def test_autocast_changes_nothing():
    inputs = make_inputs(6, dtype=torch.float32)
    plain = run(causal_conv_silu, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert_all_close(run(causal_conv_silu, inputs), plain, rtol=0, atol=0)


def test_keeps_only_its_inputs_for_the_backward_pass():
    inputs = {name: x.requires_grad_() for name, x in make_inputs(6).items()}
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        causal_conv_silu(**inputs)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs.values()}


@pytest.mark.parametrize("name", ["causal_conv_silu", "causal_conv_silu_backward"])
@pytest.mark.parametrize("num_steps", [2, 6], ids=lambda T: f"T{T}")
def test_operators_keep_the_rules_of_torch_library(name, num_steps):
    inputs = make_inputs(num_steps)
    x = inputs["x"].unsqueeze(0)
    inputs = (x, inputs["weight"], inputs["bias"])
    if name == "causal_conv_silu_backward":
        inputs = (x, *inputs)
    else:
        inputs = tuple(z.requires_grad_() for z in inputs)
    torch.library.opcheck(getattr(torch.ops.pks4, name).default, inputs)


@pytest.mark.parametrize(("num_steps", "products"), [(1, 1), (3, 6), (8, 26)])
def test_counts_two_operations_for_every_tap_on_a_frame_of_the_clip(num_steps, products):
    inputs = {name: x.requires_grad_() for name, x in make_inputs(num_steps).items()}
    with FlopCounterMode(display=False) as counter:
        y = causal_conv_silu(**inputs)
        forward = counter.get_total_flops()
        y.sum().backward()
    assert forward == 2 * products * 3 * 5  # three sequences and five channels
    assert counter.get_total_flops() == 4 * forward
