"""Choose the implementation of an operator for a device, and the layout of its inputs."""

import functools
import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, cast, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["ScanBackend", "portable_ops", "refuse_tangents", "scan_backend", "two_axes"]

logger = logging.getLogger(__name__)

ScanBackend = Literal["auto", "torch", "triton", "mamba_ssm", "portable"]
_Resolved = Literal["torch", "triton", "mamba_ssm", "portable"]
_in_force: ContextVar[ScanBackend | None] = ContextVar("_in_force", default=None)


@contextmanager
def portable_ops() -> Iterator[None]:
    """Compute scan and convolution with torch's own operators, frame by frame.

    A graph traced in this context contains no operator of this package, so that any runtime can
    execute it; it contains every step of the scan, so its clips have a fixed length.
    """
    token = _in_force.set("portable")
    try:
        yield
    finally:
        _in_force.reset(token)


@torch.compiler.assume_constant_result
def scan_backend(device: torch.device, backend: ScanBackend = "auto") -> _Resolved:
    """Return the implementation of the selective scan that is used on a device.

    On a GPU this is ``triton`` if installed, else ``mamba_ssm`` if its CUDA scan is installed, else
    ``torch``; elsewhere ``torch``. The environment variable ``PKS4_SCAN_BACKEND`` overrides it,
    because the choice is a property of the machine, not of the model.

    Args:
        device: Device of the inputs.
        backend: The backend requested by the caller.

    Raises:
        ValueError: If the backend requested by caller or environment cannot run here.
    """
    if backend == "auto":
        asked = _in_force.get() or os.environ.get("PKS4_SCAN_BACKEND", "auto")
        backend = cast(ScanBackend, asked)
    return _resolve(device.type, backend)


@functools.cache
def _resolve(device_type: str, backend: str) -> _Resolved:
    resolved = backend
    if backend == "auto":
        runs = (name for name in ("triton", "mamba_ssm") if not _obstacle(device_type, name))
        resolved = next(runs, "torch") if device_type == "cuda" else "torch"
    elif obstacle := _obstacle(device_type, backend):
        raise ValueError(
            f"The scan backend {backend!r} cannot run here: {obstacle}. Use 'auto' or 'torch'."
        )
    # while operations are counted or traced, nothing runs
    if device_type != "meta" and resolved != "portable":
        logger.info("The selective scan uses the %s backend on %s.", resolved, device_type)
    return cast(_Resolved, resolved)


def _obstacle(device_type: str, backend: str) -> str:
    """Return what prevents a backend from running; an empty string if nothing does."""
    if backend in ("torch", "portable"):
        return ""
    if backend == "triton":
        try:
            from pks4_lightning.ops.triton_streams import INTERPRETED
        except ImportError as error:
            return f"triton does not import ({error})"
        return "" if device_type == "cuda" or INTERPRETED else f"{device_type} is not a GPU"
    if backend == "mamba_ssm":
        if device_type != "cuda":
            return f"{device_type} is not a GPU"
        return "" if _has_mamba_scan() else "mamba_ssm is not installed with its CUDA scan"
    return f"the backends are {', '.join(get_args(ScanBackend))}"


def _has_mamba_scan() -> bool:
    """Return whether the package is installed with its CUDA scan, which its plain wheel lacks."""
    return all(importlib.util.find_spec(name) for name in ("mamba_ssm", "selective_scan_cuda"))


def refuse_tangents(*inputs: Tensor | None) -> None:
    """Refuse forward-mode differentiation, for which torch would take our operators as constant.

    Args:
        inputs: Inputs of an operator.

    Raises:
        NotImplementedError: If one of them carries a tangent.
    """
    if forward_ad._current_level < 0:  # nobody differentiates forwards; costs nothing
        return
    if any(x is not None and forward_ad.unpack_dual(x).tangent is not None for x in inputs):
        raise NotImplementedError(
            "The selective scan and its convolution have no forward-mode derivative: use reverse "
            "mode (torch.autograd.grad), or torch's own operators with PKS4_SCAN_BACKEND=portable."
        )


def two_axes(x: Tensor | None) -> Tensor | None:
    """View the leading axes as clips and patches, the last axis contiguous; None stays None."""
    if x is None:
        return None
    while x.ndim < 4:
        x = x.unsqueeze(0)
    return (x if x.stride(-1) == 1 else x.contiguous()).flatten(0, -4)
