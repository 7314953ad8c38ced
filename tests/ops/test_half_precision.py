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


def test_a_format_is_not_slower_than_itself():
    assert slowdown_on_cpu(torch.float32) < 2
    assert advise_precision(CPU, torch.float32) is None


def test_devices_of_other_kinds_are_not_judged():
    assert advise_precision(torch.device("meta"), torch.bfloat16) is None
