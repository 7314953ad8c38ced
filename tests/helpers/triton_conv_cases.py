"""Tests of the Triton convolution, run by test_triton.py in a separate process.

On a machine without a GPU, that process interprets the kernels. Uninitialised memory is filled with
NaN and the stream is surrounded by NaN, to detect values not written and reads out of bounds.
"""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pks4_lightning.ops import triton_streams
from pks4_lightning.ops.conv.causal_conv import causal_conv_silu
from tests.helpers.scan_inputs import (
    DEVICE,
    assert_all_close,
    between_nan,
    poisoned_memory,  # noqa: F401 - used by every test
    run,
)


def make_inputs(num_steps, dtype=torch.float64, sizes=(2, 5, 4)):
    num_sequences, num_channels, num_taps = sizes
    draw = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float64}
    weights = torch.promote_types(dtype, torch.float32)
    return {
        "x": torch.randn(num_sequences, num_steps, num_channels, **draw).to(DEVICE, dtype),
        "weight": torch.randn(num_channels, 1, num_taps, **draw).to(DEVICE, weights),
        "bias": torch.randn(num_channels, **draw).to(DEVICE, weights),
    }


def by_triton(**inputs):
    return causal_conv_silu(**inputs, backend="triton")


def by_torch(**inputs):
    return causal_conv_silu(**inputs, backend="torch")


@pytest.mark.parametrize(
    ("num_steps", "sizes"),
    [
        (1, (3, 5, 4)),
        (2, (2, 1, 4)),
        (3, (2, 5, 1)),
        (8, (1, 300, 4)),
        (9, (3, 6, 3)),
        (19, (2, 5, 4)),
        (4, (2, 5, 9)),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_equals_the_plain_convolution_forward_and_in_every_gradient(num_steps, sizes):
    inputs = make_inputs(num_steps, sizes=sizes)
    assert_all_close(
        run(lambda **x: by_triton(**{**x, "x": between_nan(x["x"])}), inputs), run(by_torch, inputs)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_rounds_once_from_float32(dtype):
    inputs = make_inputs(10, dtype, sizes=(2, 40, 4))
    exact = run(by_torch, {name: x.double() for name, x in inputs.items()})
    # the same float64 cotangent for both
    ours = run(lambda **x: by_triton(**x).double(), inputs)
    for name, tensor in ours.items():
        assert name == "y" or tensor.dtype == inputs[name[1:]].dtype, name
        error = (tensor.double() - exact[name]).norm() / exact[name].norm()
        assert error < max(torch.finfo(dtype).eps, 1e-6), name
    assert by_triton(**inputs).dtype == dtype


def test_takes_and_returns_halves_of_tokens_in_the_layout_of_a_vit():
    inputs = make_inputs(3, sizes=(6, 10, 4))
    clips = {**inputs, "x": inputs["x"].unflatten(0, (2, 3))}
    clips["weight"], clips["bias"] = clips["weight"][:5], clips["bias"][:5]

    def in_halves(x, weight, bias):
        return by_triton(x=x.chunk(2, dim=-1)[0], weight=weight, bias=bias)

    def token_major(x, weight, bias):
        y = in_halves(x.transpose(1, 2).contiguous().transpose(1, 2), weight, bias)
        assert y.transpose(1, 2).is_contiguous()
        return y

    assert_all_close(run(token_major, clips), run(in_halves, clips), rtol=0, atol=0)


@pytest.mark.parametrize("programs", [1, 2], ids=lambda n: f"{n}programs")
def test_a_program_may_walk_many_sequences(monkeypatch, programs):
    inputs = make_inputs(2, sizes=(5, 5, 4))
    expected = run(by_triton, inputs)
    monkeypatch.setattr(triton_streams, "_PROGRAMS", programs)
    assert_all_close(run(by_triton, inputs), expected)


def test_is_deterministic():
    inputs = make_inputs(2, torch.float32, sizes=(3, 40, 4))
    assert_all_close(run(by_triton, inputs), run(by_triton, inputs), rtol=0, atol=0)


def test_operators_keep_the_rules_of_torch_library():
    torch.use_deterministic_algorithms(False)
    inputs = list(make_inputs(2).values())
    inputs[0] = inputs[0].unsqueeze(0)
    backward = torch.ops.pks4.causal_conv_silu_triton_backward.default
    torch.library.opcheck(backward, (inputs[0], *inputs))
    inputs = [x.requires_grad_() for x in inputs]
    torch.library.opcheck(torch.ops.pks4.causal_conv_silu_triton.default, tuple(inputs))


def test_counts_the_same_operations_as_the_plain_convolution():
    inputs = {name: x.requires_grad_() for name, x in make_inputs(3).items()}
    counts = []
    for conv in (by_triton, by_torch):
        with FlopCounterMode(display=False) as counter:
            conv(**inputs).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
