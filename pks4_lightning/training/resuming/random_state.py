"""Save and restore all random generators of a process.

States are tensors and plain values, because checkpoints must load with ``weights_only=True``.
"""

import random
from typing import Any

import numpy as np
import torch

__all__ = ["random_state", "restore_random_state"]


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of Python's, NumPy's and PyTorch's global generators.

    Args:
        device: The device of this rank, whose generator is included.
    """
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global generator is intended
    state = {
        "python": random.getstate(),
        "numpy": [str(name), np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore the states of all generators.

    Args:
        state: From :func:`random_state`. If it contains no state of a GPU, the GPU's generator is
            left unchanged.
        device: The device of this rank.
    """
    random.setstate(state["python"])
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002 - as above
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
