import pytest
import torch

from pks4_lightning.ops.scan.naive import selective_scan_naive
from pks4_lightning.ops.scan.selective_scan import selective_scan
from tests.helpers.reference import selective_scan_closed_form
from tests.helpers.scan_inputs import assert_all_close, make_inputs, run


@pytest.mark.parity
@pytest.mark.parametrize("oracle", [selective_scan_naive, selective_scan_closed_form])
@pytest.mark.parametrize("num_steps", [1, 2, 7], ids=lambda T: f"T{T}")
def test_equals_the_formula_forward_and_in_every_gradient(num_steps, oracle):
    inputs = make_inputs(num_steps)
    assert_all_close(run(selective_scan, inputs), run(oracle, inputs))


@pytest.mark.parity
def test_equals_the_formula_without_a_skip_path():
    inputs = make_inputs(5)
    del inputs["D"]
    assert_all_close(run(selective_scan, inputs), run(selective_scan_naive, inputs))


def test_keeps_only_its_inputs_for_the_backward_pass():
    inputs = {name: x.requires_grad_() for name, x in make_inputs(6).items()}
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        selective_scan(**inputs)
    assert {x.data_ptr() for x in saved} == {x.data_ptr() for x in inputs.values()}


def test_is_causal():
    inputs = make_inputs(8)
    y = selective_scan(**inputs)
    for name in ("u", "delta", "B", "C"):
        inputs[name][:, 5:] += 1.0
    changed = selective_scan(**inputs)
    torch.testing.assert_close(changed[:, :5], y[:, :5], rtol=0, atol=0)
    assert not torch.equal(changed[:, 5:], y[:, 5:])


def test_sequences_do_not_mix():
    inputs = make_inputs(4)
    y = selective_scan(**inputs)
    for name in ("u", "delta", "B", "C"):
        inputs[name][1] += 1.0
    changed = selective_scan(**inputs)
    torch.testing.assert_close(changed[[0, 2]], y[[0, 2]], rtol=0, atol=0)
    assert not torch.equal(changed[1], y[1])


def test_a_zero_step_holds_the_state():
    inputs = make_inputs(3)
    inputs["delta"][:, 1:] = 0.0
    inputs["C"][:] = inputs["C"][:, :1]
    y = selective_scan(**{**inputs, "D": None})
    torch.testing.assert_close(y, y[:, :1].expand_as(y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_accumulates_above_half_precision(dtype):
    inputs = {name: x.to(dtype) for name, x in make_inputs(64).items()}
    exact = selective_scan(**{name: x.double() for name, x in inputs.items()})
    y = selective_scan(**inputs)
    assert y.dtype == dtype
    error = (y.double() - exact).square().mean().sqrt()
    # one final rounding costs about eps / 4; accumulating in `dtype` costs several times that
    assert error < 0.5 * torch.finfo(dtype).eps * exact.square().mean().sqrt()


def test_float64_is_computed_in_float64():
    inputs = make_inputs(16)
    error = (selective_scan(**inputs) - selective_scan_naive(**inputs)).abs().max()
    assert error < 1e-13


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_autocast_changes_nothing(what):
    inputs = make_inputs(8, torch.float32)
    plain = run(selective_scan, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = run(selective_scan, inputs)
    names = ["y"] if what == "forward" else [f"d{name}" for name in inputs]
    for name in names:
        torch.testing.assert_close(mixed[name], plain[name], rtol=0, atol=0)


def test_gradients_keep_the_dtype_of_their_inputs():
    inputs = make_inputs(4, torch.float32)
    for name in ("u", "B", "C"):
        inputs[name] = inputs[name].bfloat16()
    gradients = run(selective_scan, inputs)
    for name, x in inputs.items():
        assert gradients[f"d{name}"].dtype == x.dtype, name


def test_strided_inputs_are_taken_as_they_are():
    inputs = make_inputs(6)
    strided = {
        name: x.transpose(0, 1).contiguous().transpose(0, 1)
        if x.ndim == 3
        else x.t().contiguous().t()
        for name, x in inputs.items()
    }
    assert not strided["u"].is_contiguous()
    assert_all_close(run(selective_scan, strided), run(selective_scan, inputs), rtol=0, atol=0)


def test_is_deterministic():
    inputs = make_inputs(8, torch.float32, sizes=(64, 32, 8))
    assert_all_close(run(selective_scan, inputs), run(selective_scan, inputs), rtol=0, atol=0)


def test_can_be_used_twice_in_one_graph():
    inputs = make_inputs(4)

    def twice(u, **others):
        return selective_scan(selective_scan(u, **others), **others)

    def twice_by_formula(u, **others):
        return selective_scan_naive(selective_scan_naive(u, **others), **others)

    assert_all_close(run(twice, inputs), run(twice_by_formula, inputs))


@pytest.mark.parametrize("name", ["selective_scan", "selective_scan_backward"])
def test_operators_keep_the_rules_of_torch_library(name):
    inputs = [x.unsqueeze(0) if x.ndim == 3 else x for x in make_inputs(3).values()]
    bias, gate = torch.zeros_like(inputs[5]), torch.ones_like(inputs[0])
    for optional in ([bias, gate], [None, gate], [None, None]):
        others = [*inputs, *optional]
        if name == "selective_scan":
            others = [x if x is None else x.clone().requires_grad_() for x in others]
        else:
            others = [inputs[0], *others]
        torch.library.opcheck(getattr(torch.ops.pks4, name).default, tuple(others))


def test_a_second_derivative_is_refused():
    inputs = {name: x.requires_grad_() for name, x in make_inputs(3).items()}
    (gradient,) = torch.autograd.grad(
        selective_scan(**inputs).sum(), inputs["u"], create_graph=True
    )
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradient.sum().backward()


def test_no_time_steps_are_refused():
    inputs = make_inputs(1)
    for name in ("u", "delta", "B", "C"):
        inputs[name] = inputs[name][:, :0]
    with pytest.raises(ValueError, match=r"at least one time step, got u of shape \(3, 0, 4\)"):
        selective_scan(**inputs)
