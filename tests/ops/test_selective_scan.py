import pytest
import torch

from pks4_lightning.ops import selective_scan as module
from pks4_lightning.ops.selective_scan import selective_scan
from tests.reference import selective_scan_closed_form, selective_scan_loop

S, E, N = 3, 4, 5


def make_inputs(num_steps, dtype=torch.float64, sizes=(S, E, N), seed=0):
    num_sequences, num_channels, d_state = sizes
    draw = {"generator": torch.Generator().manual_seed(seed), "dtype": dtype}
    return {
        "u": torch.randn(num_sequences, num_steps, num_channels, **draw),
        "delta": torch.rand(num_sequences, num_steps, num_channels, **draw),
        "A": -torch.rand(num_channels, d_state, **draw) - 0.1,
        "B": torch.randn(num_sequences, num_steps, d_state, **draw),
        "C": torch.randn(num_sequences, num_steps, d_state, **draw),
        "D": torch.randn(num_channels, **draw),
    }


def run(scan, inputs):
    """Return the output and the gradient of every input for one random cotangent."""
    inputs = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    y = scan(**inputs)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype)
    gradients = torch.autograd.grad(y, list(inputs.values()), cotangent)
    return {"y": y.detach(), **{f"d{name}": g for name, g in zip(inputs, gradients, strict=True)}}


def assert_all_close(ours, theirs, **tolerances):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(
            tensor, theirs[name], msg=lambda m, n=name: f"{n}: {m}", **tolerances
        )


@pytest.mark.parity
@pytest.mark.parametrize("oracle", [selective_scan_loop, selective_scan_closed_form])
@pytest.mark.parametrize("num_steps", [1, 2, 7], ids=lambda T: f"T{T}")
def test_equals_the_formula_forward_and_in_every_gradient(num_steps, oracle):
    inputs = make_inputs(num_steps)
    assert_all_close(run(selective_scan, inputs), run(oracle, inputs))


@pytest.mark.parity
def test_equals_the_formula_without_a_skip_path():
    inputs = make_inputs(5)
    del inputs["D"]
    assert_all_close(run(selective_scan, inputs), run(selective_scan_loop, inputs))


@pytest.mark.parity
@pytest.mark.parametrize("slab_bytes", [1, 2000, 4000], ids=lambda n: f"{n}bytes")
def test_slabs_of_any_size_give_the_same(monkeypatch, slab_bytes):
    inputs = make_inputs(5, sizes=(7, E, N))
    whole = run(selective_scan, inputs)
    monkeypatch.setattr(module, "_CPU_SLAB_BYTES", slab_bytes)
    assert_all_close(run(selective_scan, inputs), whole)


def test_memory_of_the_states_is_bounded(monkeypatch):
    largest = 0
    allocate = module._outer

    def watch(x, y):
        nonlocal largest
        states = allocate(x, y)
        largest = max(largest, states.nbytes)
        return states

    monkeypatch.setattr(module, "_outer", watch)
    monkeypatch.setattr(module, "_CPU_SLAB_BYTES", 2**16)
    run(selective_scan, make_inputs(4, torch.float32, sizes=(512, 16, 8)))
    assert 0 < largest <= 2**16 / 4


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
    error = (selective_scan(**inputs) - selective_scan_loop(**inputs)).abs().max()
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
        return selective_scan_loop(selective_scan_loop(u, **others), **others)

    assert_all_close(run(twice, inputs), run(twice_by_formula, inputs))


@pytest.mark.parametrize("name", ["selective_scan", "selective_scan_backward"])
def test_operators_keep_the_rules_of_torch_library(name):
    inputs = list(make_inputs(3).values())
    if name == "selective_scan":
        inputs = [x.requires_grad_() for x in inputs]
    else:
        inputs = [inputs[0], *inputs]
    torch.library.opcheck(getattr(torch.ops.pks4, name).default, tuple(inputs))


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
