import functools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pks4_lightning.ops.scan import eager as module
from pks4_lightning.ops.scan.naive import selective_scan_naive
from pks4_lightning.ops.scan.selective_scan import selective_scan
from tests.helpers.reference import selective_scan_closed_form
from tests.helpers.scan_inputs import E, N, assert_all_close, make_inputs, run

scan = functools.partial(selective_scan, backend="torch")


@pytest.mark.parity
@pytest.mark.parametrize("step_bytes", [1, 2000, 4000], ids=lambda n: f"{n}bytes")
def test_slabs_of_any_size_give_the_same(monkeypatch, step_bytes):
    inputs = make_inputs(5, sizes=(7, E, N))
    whole = run(scan, inputs)
    monkeypatch.setattr(module, "_CPU_STEP_BYTES", step_bytes)
    assert_all_close(run(scan, inputs), whole)


@pytest.mark.parity
@pytest.mark.parametrize("num_steps", [8, 9, 16, 21], ids=lambda T: f"T{T}")
def test_clips_longer_than_a_chunk_equal_the_formula(num_steps):
    inputs = make_inputs(num_steps)
    assert_all_close(run(scan, inputs), run(selective_scan_closed_form, inputs))


@pytest.mark.parity
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 8])
def test_chunks_of_any_length_give_the_same(monkeypatch, chunk):
    inputs = make_inputs(7)
    whole = run(scan, inputs)
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert_all_close(run(scan, inputs), whole)


@pytest.mark.parity
@pytest.mark.parametrize("num_steps", [129, 211, 1569], ids=lambda T: f"T{T}")
def test_long_sequences_equal_a_loop_forward_and_in_every_gradient(num_steps):
    inputs = make_inputs(num_steps, sizes=(2, 2, 3))
    inputs["delta"] *= 0.1  # states that persist from piece to piece
    assert_all_close(run(scan, inputs), run(selective_scan_naive, inputs))


@pytest.mark.parity
@pytest.mark.parametrize("step_bytes", [1, 5 * 2 * 160, 5 * 7 * 160], ids=lambda n: f"{n}bytes")
def test_sequences_cut_into_any_number_of_pieces_give_the_same(monkeypatch, step_bytes):
    inputs = make_inputs(131, sizes=(3, E, N))
    inputs["delta"] *= 0.1
    inputs["delta_bias"] = torch.full((E,), -3.0, dtype=torch.float64)
    inputs["gate"] = inputs["u"].flip(0)
    in_one = run(scan, inputs)
    monkeypatch.setattr(module, "_CPU_STEP_BYTES", step_bytes)
    assert_all_close(run(scan, inputs), in_one)
    monkeypatch.setattr(module, "_LONGEST_PIECE", 131)
    assert_all_close(run(scan, inputs), in_one)


def test_memory_grows_slower_than_the_length(monkeypatch):
    monkeypatch.setattr(module, "_CPU_STEP_BYTES", 2**20)
    workspaces = []
    for num_steps in (256, 4096):
        inputs = make_inputs(num_steps, torch.float32, sizes=(2, 2, 64)).values()
        inputs = [x.unsqueeze(0) if x.ndim == 3 else x for x in inputs]
        with _LargestAllocation() as largest:
            module.scan_backward(inputs[0], *inputs, None, None)
        workspaces.append(largest.num_bytes)
    assert workspaces[1] < 8 * workspaces[0]  # 16 times the steps


class _LargestAllocation(TorchDispatchMode):
    num_bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.num_bytes = max(self.num_bytes, result.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("what", ["forward", "backward"])
def test_memory_of_the_states_is_bounded(monkeypatch, what):
    monkeypatch.setattr(module, "_CPU_STEP_BYTES", 2**16 // torch.get_num_threads())
    inputs = make_inputs(4, torch.float32, sizes=(256, 16, 64)).values()
    inputs = [x.unsqueeze(0) if x.ndim == 3 else x for x in inputs]
    bias, gate = torch.zeros(16), torch.ones_like(inputs[0])
    with _LargestAllocation() as largest:
        if what == "forward":
            module.scan_forward(*inputs, bias, gate)
        else:
            module.scan_backward(inputs[0], *inputs, bias, gate)
    # the states of all sequences for one frame would be 1 MiB
    largest_stream = max(x.nbytes for x in inputs)  # the size of the output and of the gradients
    # in the backward pass, five of ten state tensors belong to a step
    assert 2**15 < largest.num_bytes <= max(2 * 2**16, largest_stream) < 2**20


def test_no_sequences_give_no_output_and_zero_gradients_of_the_parameters():
    inputs = make_inputs(3, sizes=(0, E, N))
    results = run(scan, inputs)
    assert results["y"].shape == (0, 3, E)
    assert (results["dA"] == 0).all()
    assert (results["dD"] == 0).all()


def test_a_very_negative_log_decay_forgets_and_gives_finite_gradients():
    inputs = make_inputs(4, torch.float32)
    inputs["A"] = inputs["A"] * 1e30
    results = run(scan, inputs)
    for name, x in results.items():
        assert x.isfinite().all(), name
    written = inputs["delta"] * inputs["u"] * (inputs["B"] * inputs["C"]).sum(-1, keepdim=True)
    torch.testing.assert_close(results["y"], written + inputs["D"] * inputs["u"])


def test_the_bias_of_a_half_precision_step_size_is_added_in_float32():
    inputs = make_inputs(4, torch.float32)
    # typical of the start of training; bfloat16 would round these by up to 0.01
    bias = -3 - 2 * torch.rand(E, generator=torch.Generator().manual_seed(2))
    half, single = (
        scan(**{**inputs, "delta": torch.zeros(3, 4, E, dtype=dtype)}, delta_bias=bias)
        for dtype in (torch.bfloat16, torch.float32)
    )
    torch.testing.assert_close(half, single, rtol=0, atol=0)
