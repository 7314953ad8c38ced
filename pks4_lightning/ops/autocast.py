"""Parts of a model that keep their precision under autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["without_autocast"]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which operations keep the dtype of their inputs.

    Args:
        device: Where they run. The meta device, on which costs are counted, has no autocast.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
