"""Tests of the Triton scan, run by test_triton.py in a separate process.

On a machine without a GPU, that process interprets the kernels. Uninitialised memory is filled with
NaN and inputs are surrounded by NaN, to detect values not written and reads out of bounds.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from pks4_lightning.ops import triton_streams
from pks4_lightning.ops.backend import scan_backend
from pks4_lightning.ops.scan import triton as module
from pks4_lightning.ops.scan.naive import selective_scan_naive
from pks4_lightning.ops.scan.selective_scan import selective_scan
from tests.helpers.scan_inputs import (
    DEVICE,
    assert_all_close,
    between_nan,
    make_inputs,
    poisoned_memory,  # noqa: F401 - used by every test
    run,
)


def fused_inputs(num_steps, dtype=torch.float64, sizes=(2, 5, 4)):
    inputs = make_inputs(num_steps, torch.float64, sizes)
    draw = {"generator": torch.Generator().manual_seed(2), "dtype": torch.float64}
    inputs["delta"] = 2 * torch.randn(inputs["delta"].shape, **draw)
    inputs["delta_bias"] = torch.randn(sizes[1], **draw)
    inputs["gate"] = torch.randn(inputs["u"].shape, **draw)
    weights = torch.promote_types(dtype, torch.float32)
    return {name: x.to(DEVICE, dtype if x.ndim == 3 else weights) for name, x in inputs.items()}


def by_formula(**inputs):
    return selective_scan_naive(**{name: x.cpu() for name, x in inputs.items()}).to(DEVICE)


def by_triton(**inputs):
    return selective_scan(**inputs, backend="triton")


@pytest.mark.parametrize(
    ("num_steps", "sizes"),
    [
        (1, (3, 5, 4)),
        (2, (2, 1, 1)),
        (3, (1, 33, 16)),
        (8, (1, 64, 16)),
        (7, (2, 6, 3)),
        (19, (1, 5, 16)),
        (16, (1, 4, 20)),
        (35, (1, 2, 2)),
        pytest.param(131, (1, 2, 2), marks=pytest.mark.slow),
        # VideoMamba's tokens for 8 frames; takes over a minute in the interpreter
        pytest.param(1569, (1, 2, 2), marks=pytest.mark.slow),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_equals_the_formula_forward_and_in_every_gradient(num_steps, sizes):
    inputs = fused_inputs(num_steps, sizes=sizes)
    assert_all_close(
        run(lambda **x: by_triton(**{n: between_nan(v) for n, v in x.items()}), inputs),
        run(by_formula, inputs),
    )


@pytest.mark.parametrize("absent", ["D", "delta_bias", "gate"])
def test_equals_the_formula_without_an_optional_input(absent):
    inputs = fused_inputs(3)
    del inputs[absent]
    if absent == "delta_bias":
        inputs["delta"] = inputs["delta"].abs()
    assert_all_close(run(by_triton, inputs), run(by_formula, inputs))


SLOW = pytest.mark.slow  # in the interpreter


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.bfloat16, pytest.param(torch.float16, marks=SLOW)],
    ids=str,
)
def test_rounds_once_from_a_float32_state(dtype):
    inputs = fused_inputs(10, dtype, sizes=(1, 5, 16))
    exact = run(by_formula, {name: x.double() for name, x in inputs.items()})
    # the same float64 cotangent for both
    ours = run(lambda **x: by_triton(**x).double(), inputs)
    for name, tensor in ours.items():
        assert name == "y" or tensor.dtype == inputs[name[1:]].dtype, name
        error = (tensor.double() - exact[name]).norm() / exact[name].norm()
        assert error < max(torch.finfo(dtype).eps, 1e-6), name
    assert by_triton(**inputs).dtype == dtype


def test_small_steps_keep_their_digits():
    raw = torch.linspace(-14, 30, 45, dtype=torch.float64, device=DEVICE)
    ones = torch.ones(1, 1, 45, device=DEVICE)
    state = torch.ones(1, 1, 1, device=DEVICE)
    steps = selective_scan(
        u=ones,
        delta=raw.float().expand(1, 1, -1),
        A=torch.zeros(45, 1, device=DEVICE),
        B=state,
        C=state,
        delta_bias=torch.zeros(45, device=DEVICE),
        backend="triton",
    )
    torch.testing.assert_close(
        steps[0, 0].double(), F.softplus(raw, threshold=99), rtol=1e-6, atol=0
    )


def test_token_major_views_are_read_and_written_in_place():
    inputs = fused_inputs(3, sizes=(6, 5, 4))
    views = {
        name: x.unflatten(0, (2, 3)).transpose(1, 2).contiguous().transpose(1, 2)
        if x.ndim == 3
        else x
        for name, x in inputs.items()
    }
    y = by_triton(**views)
    assert y.transpose(1, 2).is_contiguous()
    torch.testing.assert_close(y.flatten(0, 1), by_triton(**inputs), rtol=0, atol=0)
    more_axes = {n: x.unsqueeze(0) if x.ndim == 4 else x for n, x in views.items()}
    torch.testing.assert_close(by_triton(**more_axes)[0], y, rtol=0, atol=0)


def test_offsets_beyond_32_bits():
    inputs = fused_inputs(2, torch.float16, sizes=(3, 3, 2))
    expected = by_triton(**inputs)
    torch.use_deterministic_algorithms(False)  # avoids filling these four gigabytes
    far = torch.empty(2**31 + 64, dtype=torch.float16, device=DEVICE).as_strided(
        (3, 2, 3), (2**30, 3, 1)
    )
    far.copy_(inputs["u"])
    torch.testing.assert_close(by_triton(**{**inputs, "u": far}), expected, rtol=0, atol=0)


@pytest.mark.parametrize("programs", [1, 2], ids=lambda n: f"{n}programs")
def test_a_program_may_walk_many_sequences(monkeypatch, programs):
    inputs = fused_inputs(2, sizes=(5, 5, 4))
    expected = run(by_triton, inputs)
    monkeypatch.setattr(triton_streams, "_PROGRAMS", programs)
    assert_all_close(run(by_triton, inputs), expected)


@pytest.mark.parametrize("num_steps", [2, pytest.param(9, marks=SLOW)], ids=lambda T: f"T{T}")
def test_slabs_of_any_size_give_the_same(monkeypatch, num_steps):
    inputs = fused_inputs(num_steps, sizes=(3, 5, 4))
    expected = run(by_triton, inputs)
    two_sequences = 2 * num_steps * 2 * 4 * 8
    monkeypatch.setattr(module, "_PARTIAL_BYTES", two_sequences)
    assert_all_close(run(by_triton, inputs), expected)


def test_is_deterministic():
    inputs = fused_inputs(2, torch.float32, sizes=(3, 40, 16))
    assert_all_close(run(by_triton, inputs), run(by_triton, inputs), rtol=0, atol=0)


def test_autocast_changes_nothing():
    inputs = fused_inputs(3, torch.float32)
    plain = run(by_triton, inputs)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        mixed = run(by_triton, inputs)
    assert_all_close(mixed, plain, rtol=0, atol=0)


@pytest.mark.parametrize("optional", [True, False], ids=["fused", "plain"])
def test_operators_keep_the_rules_of_torch_library(optional):
    torch.use_deterministic_algorithms(False)
    inputs = [
        x.unsqueeze(0) if x.ndim == 3 else x for x in fused_inputs(2, sizes=(1, 3, 2)).values()
    ]
    inputs = inputs if optional else [*inputs[:6], None, None]
    backward = torch.ops.pks4.selective_scan_triton_backward.default
    torch.library.opcheck(backward, (inputs[0], *inputs))
    inputs = [x if x is None else x.requires_grad_() for x in inputs]
    torch.library.opcheck(torch.ops.pks4.selective_scan_triton.default, tuple(inputs))


def test_counts_the_same_operations_as_the_plain_scan():
    inputs = {name: x.requires_grad_() for name, x in fused_inputs(2).items()}
    counts = []
    for backend in ("triton", "torch"):
        with FlopCounterMode(display=False) as counter:
            selective_scan(**inputs, backend=backend).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_is_the_backend_of_a_gpu():
    assert scan_backend(DEVICE, "triton") == "triton"
    assert scan_backend(torch.device("cuda")) == "triton"
