"""Whether a device computes in 16-bit formats as fast as in float32."""

import time

import torch

__all__ = ["advise_precision", "slowdown_on_cpu"]

_MOST = 2.0  # above the variation of such a short measurement
_ROUNDS = 3


def advise_precision(device: torch.device, dtype: torch.dtype) -> str | None:
    """Return what makes training in a 16-bit format slow on a device, and the setting to use.

    Args:
        device: The device of the training.
        dtype: Format of its matrix products: ``torch.bfloat16`` or ``torch.float16``.

    Returns:
        One sentence, or ``None`` if the format is not slow there.
    """
    name = str(dtype).removeprefix("torch.")
    if device.type == "cuda":
        if dtype != torch.bfloat16 or torch.cuda.is_bf16_supported(including_emulation=False):
            return None
        gpu = torch.cuda.get_device_name(device)
        return f"{gpu} only emulates {name}: set --trainer.precision 16-mixed."
    if device.type != "cpu":
        return None
    slowdown = slowdown_on_cpu(dtype)
    if slowdown <= _MOST:
        return None
    return (
        f"On this processor, matrix products in {name} take {slowdown:.0f} times as long as in "
        "float32: set --trainer.precision 32-true."
    )


def slowdown_on_cpu(dtype: torch.dtype) -> float:
    """Measure how many times as long as in float32 a matrix product takes in another format.

    Args:
        dtype: The other format.

    Returns:
        The ratio of the shortest times of a few products of the size of a small tower's, measured
        side by side; below 1 if the format is faster. Takes milliseconds.
    """
    with torch.inference_mode():
        left, right = torch.ones(256, 192), torch.ones(192, 768)
        factors = {kind: (left.to(kind), right.to(kind)) for kind in (torch.float32, dtype)}
        shortest = dict.fromkeys(factors, float("inf"))
        for _ in range(_ROUNDS):
            for kind, (one, other) in factors.items():
                start = time.perf_counter()
                _ = one @ other
                shortest[kind] = min(shortest[kind], time.perf_counter() - start)
    return shortest[dtype] / shortest[torch.float32]
