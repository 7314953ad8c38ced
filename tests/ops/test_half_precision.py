"""Advice about 16-bit precision on devices that have no instructions for it."""

import pytest
import torch

from pks4_lightning.ops.half_precision import advise_precision, slowdown_on_cpu

CPU = torch.device("cpu")


@pytest.fixture
def without_onednn():
    """Matrix products without the library that has fast ones in bfloat16."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_a_slow_format_is_named_with_the_setting_to_use(without_onednn):
    # about 30 on processors with and without bfloat16 instructions
    assert slowdown_on_cpu(torch.bfloat16) > 4
    advice = advise_precision(CPU, torch.bfloat16)
    assert advice is not None
    assert advice.startswith("On this processor, matrix products in bfloat16 take ")
    assert advice.endswith("set --trainer.precision 32-true.")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_advice_is_given_exactly_where_a_format_is_slow(dtype):
    # on any processor either clearly faster than float32 or many times slower
    assert (advise_precision(CPU, dtype) is None) == (slowdown_on_cpu(dtype) < 2)


def test_a_gpu_that_only_emulates_bfloat16_is_named(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    advice = "Tesla T4 only emulates bfloat16: set --trainer.precision 16-mixed."
    assert advise_precision(gpu, torch.bfloat16) == advice
    assert advise_precision(gpu, torch.float16) is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert advise_precision(gpu, torch.bfloat16) is None


def test_devices_of_other_kinds_are_not_judged():
    assert advise_precision(torch.device("meta"), torch.bfloat16) is None
