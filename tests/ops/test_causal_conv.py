import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.ops.causal_conv import causal_conv
from tests.scan_inputs import assert_all_close, run


def make_inputs(num_steps, num_taps=4, dtype=torch.float64):
    draw = {"generator": torch.Generator().manual_seed(0), "dtype": dtype}
    return {
        "x": torch.randn(3, num_steps, 5, **draw),
        "weight": torch.randn(5, 1, num_taps, **draw),
        "bias": torch.randn(5, **draw),
    }


def conv1d(x, weight, bias):
    num_taps = weight.shape[-1]
    y = F.conv1d(x.mT, weight, bias, padding=num_taps - 1, groups=weight.shape[0])
    return y[..., : x.shape[1]].mT


@pytest.mark.parity
@pytest.mark.parametrize("num_taps", [1, 2, 4])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 9], ids=lambda T: f"T{T}")
def test_equals_torchs_convolution_forward_and_in_every_gradient(num_steps, num_taps):
    inputs = make_inputs(num_steps, num_taps)
    assert_all_close(run(causal_conv, inputs), run(conv1d, inputs))


@pytest.mark.parity
def test_takes_one_half_of_a_projection():
    inputs = make_inputs(6)
    inputs["x"] = torch.cat([inputs["x"], inputs["x"]], dim=-1)
    halved = {"op": causal_conv, "theirs": conv1d}
    results = {
        name: run(lambda x, f=function, **rest: f(x.chunk(2, dim=-1)[0], **rest), inputs)
        for name, function in halved.items()
    }
    assert_all_close(results["op"], results["theirs"])


def test_bfloat16_is_summed_in_float32():
    inputs = {name: x.bfloat16() for name, x in make_inputs(64, dtype=torch.float32).items()}
    results = run(causal_conv, inputs)
    exact = causal_conv(**{name: x.double() for name, x in inputs.items()})
    torch.testing.assert_close(results["y"], exact.bfloat16(), rtol=0, atol=0)
    assert {x.dtype for x in results.values()} == {torch.bfloat16}


def test_autocast_changes_nothing():
    inputs = make_inputs(6, dtype=torch.float32)
    plain = run(causal_conv, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert_all_close(run(causal_conv, inputs), plain, rtol=0, atol=0)


def test_keeps_only_its_inputs_for_the_backward_pass():
    inputs = {name: x.requires_grad_() for name, x in make_inputs(6).items()}
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        causal_conv(**inputs)
    assert {x.data_ptr() for x in saved} <= {x.data_ptr() for x in inputs.values()}
