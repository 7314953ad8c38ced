"""Run parts of a model without autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["without_autocast"]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which operations keep the dtype of their inputs.

    Args:
        device: Device of the operations. The meta device, used to count costs, has no autocast.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
