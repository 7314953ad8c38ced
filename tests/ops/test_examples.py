import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["conv.causal_conv", "position_resize", "scan.selective_scan", "variation"]
)
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(f"pks4_lightning.ops.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
