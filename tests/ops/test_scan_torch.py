import pytest
import torch

from pks4_lightning.ops import scan_torch as module
from pks4_lightning.ops.selective_scan import selective_scan
from tests.scan_inputs import E, N, assert_all_close, make_inputs, run


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
