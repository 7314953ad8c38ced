"""Selective scan, the linear recurrence at the core of a selective state space model.

Reference:
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
    https://arxiv.org/abs/2312.00752, Equation 4 and Algorithm 2.

Dimensions:
    S: sequences scanned in parallel (clips x patch locations)
    T: time steps, one per frame
    E: inner channels
    N: state size per channel
"""

import functools
import logging
import os
from collections.abc import Callable
from typing import Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.scan.eager import scan_backward, scan_forward
from pks4_lightning.ops.scan.mamba import has_mamba_scan, scan_by_mamba
from pks4_lightning.ops.scan.registration import register_scan

__all__ = ["ScanBackend", "scan_backend", "selective_scan", "two_axes"]

logger = logging.getLogger(__name__)

ScanBackend = Literal["auto", "torch", "triton", "mamba_ssm"]


def selective_scan(
    u: Float[Tensor, "*S T E"],
    delta: Float[Tensor, "*S T E"],
    A: Float[Tensor, "E N"],
    B: Float[Tensor, "*S T N"],
    C: Float[Tensor, "*S T N"],
    D: Float[Tensor, " E"] | None = None,
    *,
    delta_bias: Float[Tensor, " E"] | None = None,
    gate: Float[Tensor, "*S T E"] | None = None,
    backend: ScanBackend = "auto",
) -> Float[Tensor, "*S T E"]:
    r"""Run the selective state space recurrence along time.

    For every sequence and channel, with :math:`x_0 = 0`,

    .. math::
        x_t &= \exp(\Delta_t A)\, x_{t-1} + \Delta_t B_t u_t \\
        y_t &= (\langle C_t, x_t \rangle + D u_t) \cdot \mathrm{SiLU}(z_t)

    ``A`` is discretised by zero-order hold and ``B`` by the first-order (Euler) rule, as in the
    released Mamba code. The recurrence is causal: ``y[:, t]`` depends on ``u[:, : t + 1]`` only.

    Only the inputs are kept for the backward pass, which recomputes the states for a few
    sequences at a time: memory beyond inputs and gradients does not grow with ``S``. Sequences may
    be long (1,569 tokens of a clip as well as 8 frames). Derivatives of the gradients are not
    implemented. Every backend gives the same result and the same
    gradients, up to rounding.

    Args:
        u: Input stream. The sequences may lie on several axes (clips, patches) and anywhere in
            memory: the Triton backend scans a permuted view without copying it.
        delta: Step size per frame, dimensionless. A larger step forgets more of the old state and
            writes more of the new frame. Positive, unless ``delta_bias`` is given.
        A: Decay rates, negative, usually ``-exp(A_log)``. ``delta * A`` is the log-decay per frame.
        B: Input (write) matrix per time step, shared by all channels.
        C: Output (read) matrix per time step, shared by all channels.
        D: Skip weight per channel. ``None`` means no skip path.
        delta_bias: Makes the step size ``softplus(delta + delta_bias)``, summed in at least
            float32: a bfloat16 sum would lose the small steps.
        gate: The stream ``z`` whose SiLU multiplies the output. ``None`` means no gate.
        backend: Implementation. ``auto`` takes what :func:`scan_backend` names. ``triton`` needs an
            NVIDIA GPU; ``mamba_ssm`` needs one, and that package with its CUDA scan.

    Returns:
        The output stream, in the dtype of ``u``. The state is accumulated in at least float32,
        under autocast too.

    Raises:
        ValueError: If ``u`` has no time steps, or the backend asked for cannot run here.

    Example:
        With instant forgetting (``A`` very negative) the scan passes its input through.

        >>> ones = torch.ones(1, 3, 1)
        >>> forget = torch.full((1, 1), -1e9)
        >>> selective_scan(u=ones, delta=ones, A=forget, B=ones, C=ones).squeeze()
        tensor([1., 1., 1.])
    """
    if u.shape[-2] == 0:
        raise ValueError(
            f"selective_scan needs at least one time step, got u of shape {tuple(u.shape)}."
        )
    if D is None:
        D = u.new_zeros(u.shape[-1])
    scan = _implementation(scan_backend(u.device, backend))
    streams = (two_axes(x) for x in (u, delta, B, C, gate))
    u_BPTE, delta_BPTE, B_BPTN, C_BPTN, gate_BPTE = streams
    return scan(u_BPTE, delta_BPTE, A, B_BPTN, C_BPTN, D, delta_bias, gate_BPTE).reshape(u.shape)


@torch.compiler.assume_constant_result
def scan_backend(
    device: torch.device, backend: ScanBackend = "auto"
) -> Literal["torch", "triton", "mamba_ssm"]:
    """Name the implementation that :func:`selective_scan` runs on a device.

    On a GPU that is ``triton`` if it is installed, else ``mamba_ssm`` if its CUDA scan is, else
    ``torch``; elsewhere ``torch``. The environment variable ``PKS4_SCAN_BACKEND`` decides
    otherwise: what runs is a property of the machine, not of the model.

    Args:
        device: Where the inputs lie.
        backend: What the caller asks for.

    Raises:
        ValueError: If what is asked for, by the caller or the environment, cannot run here.
    """
    if backend == "auto":
        backend = cast(ScanBackend, os.environ.get("PKS4_SCAN_BACKEND", "auto"))
    return _resolve(device.type, backend)


@functools.cache
def _resolve(device_type: str, backend: str) -> Literal["torch", "triton", "mamba_ssm"]:
    resolved = backend
    if backend == "auto":
        runs = (name for name in ("triton", "mamba_ssm") if not _obstacle(device_type, name))
        resolved = next(runs, "torch") if device_type == "cuda" else "torch"
    elif obstacle := _obstacle(device_type, backend):
        raise ValueError(
            f"The scan's backend {backend!r} cannot run here: {obstacle}. Take 'auto' or 'torch'."
        )
    if device_type != "meta":  # where operations are counted, nothing runs
        logger.info("The selective scan runs by %s on %s.", resolved, device_type)
    return cast(Literal["torch", "triton", "mamba_ssm"], resolved)


def _obstacle(device_type: str, backend: str) -> str:
    """Say what keeps a backend from running; nothing if nothing does."""
    if backend == "torch":
        return ""
    if backend == "triton":
        try:
            from pks4_lightning.ops.triton_streams import INTERPRETED
        except ImportError as error:
            return f"triton does not import ({error})"
        return "" if device_type == "cuda" or INTERPRETED else f"{device_type} is no GPU"
    if backend == "mamba_ssm":
        if device_type != "cuda":
            return f"{device_type} is no GPU"
        return "" if has_mamba_scan() else "mamba_ssm is not installed with its CUDA scan"
    return f"there are {', '.join(get_args(ScanBackend))}"


def _implementation(backend: str) -> Callable[..., Tensor]:
    if backend == "triton":
        from pks4_lightning.ops.scan.triton import scan_by_triton

        return scan_by_triton
    return scan_by_mamba if backend == "mamba_ssm" else _scan


def two_axes(x: Tensor | None) -> Tensor | None:
    """View the leading axes as clips and patches, the last axis contiguous; None stays None."""
    if x is None:
        return None
    while x.ndim < 4:
        x = x.unsqueeze(0)
    return (x if x.stride(-1) == 1 else x.contiguous()).flatten(0, -4)


@torch.library.custom_op("pks4::selective_scan", mutates_args=())
def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> Tensor:
    return scan_forward(u, delta, A, B, C, D, delta_bias, gate)


@torch.library.custom_op("pks4::selective_scan_backward", mutates_args=())
def _scan_backward(
    dy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return scan_backward(dy, u, delta, A, B, C, D, delta_bias, gate)


register_scan(_scan, _scan_backward)
