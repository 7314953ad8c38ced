"""Find the device to compute on."""

import torch

__all__ = ["find_device"]


def find_device(device: str | torch.device | None) -> torch.device:
    """Return a device that the machine has.

    Args:
        device: As PyTorch names it. ``None``: a GPU if there is one.

    Raises:
        ValueError: If there is no such device; the message lists those that there are.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        present = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            present.append("mps")
        raise ValueError(
            f"device is '{device}', which this machine does not have or cannot use now; it has "
            f"{', '.join(present)}."
        ) from error
    return found
