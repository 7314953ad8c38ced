"""Inputs for scans, the gradients of all inputs, and memory in which a stray access shows."""

import pytest
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
S, E, N = 3, 4, 5


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Fill uninitialised memory with NaN in the tests of every module that imports this."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


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
    gradients = torch.autograd.grad(y, list(inputs.values()), cotangent.to(y.device))
    return {"y": y.detach(), **{f"d{name}": g for name, g in zip(inputs, gradients, strict=True)}}


def assert_all_close(ours, theirs, **tolerances):
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(
            tensor, theirs[name], msg=lambda m, n=name: f"{n}: {m}", **tolerances
        )


def between_nan(x):
    """Return a view of equal values with NaN before and after it along every axis."""
    around = x.new_full([size + 2 for size in x.shape], torch.nan)
    inner = around[tuple(slice(1, -1) for _ in x.shape)]
    return inner.copy_(x)
