"""Disable autocast, and look up the dtype that it gives to products."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["product_dtype", "without_autocast"]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which operations keep the dtype of their inputs.

    Args:
        device: Device of the operations. The meta device, used to count costs, has no autocast.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which a matrix product of ``x`` is computed, under autocast or not.

    Args:
        x: A factor in floating point.
    """
    device = x.device.type
    may_change = torch.amp.is_autocast_available(device) and x.dtype != torch.float64
    if may_change and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype
