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

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.ops.backend import ScanBackend, refuse_tangents, scan_backend, two_axes
from pks4_lightning.ops.scan.eager import scan_backward, scan_forward
from pks4_lightning.ops.scan.mamba import scan_by_mamba
from pks4_lightning.ops.scan.registration import register_scan
from pks4_lightning.ops.scan.step import selective_scan_steps

__all__ = ["selective_scan"]

_MOST_WRITTEN_OUT = 256  # steps; each becomes ten operators, which an exporter must process


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
    be long (the 1,569 tokens of a clip as well as 8 frames). Second derivatives are not
    implemented. All backends give the same results and gradients up to rounding.

    Args:
        u: Input stream. The sequences may be on several axes (clips, patches) with any strides:
            the Triton backend scans a permuted view without copying it.
        delta: Step size per frame, dimensionless. A larger step forgets more of the old state and
            writes more of the new frame. Positive, unless ``delta_bias`` is given.
        A: Decay rates, negative, usually ``-exp(A_log)``. ``delta * A`` is the log-decay per frame.
        B: Input (write) matrix per time step, shared by all channels.
        C: Output (read) matrix per time step, shared by all channels.
        D: Skip weight per channel. ``None`` means no skip path.
        delta_bias: Makes the step size ``softplus(delta + delta_bias)``, added in at least
            float32, because a bfloat16 sum would lose small steps.
        gate: The stream ``z`` whose SiLU multiplies the output. ``None`` means no gate.
        backend: Implementation. ``auto`` uses the result of
            :func:`~pks4_lightning.ops.backend.scan_backend`. ``triton`` needs an
            NVIDIA GPU; ``mamba_ssm`` needs one, and that package with its CUDA scan. ``portable``
            is for exported graphs: torch's own operators, with all steps written out.

    Returns:
        The output stream, in the dtype of ``u``. The state is accumulated in at least float32,
        also under autocast.

    Raises:
        NotImplementedError: If an input carries a tangent of forward-mode differentiation, unless
            the backend is ``portable``.
        ValueError: If ``u`` has no time steps, or too many to be written out, or the requested
            backend cannot run here.

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
    resolved = scan_backend(u.device, backend)
    if resolved != "portable":
        refuse_tangents(u, delta, A, B, C, D, delta_bias, gate)
    scan = _implementation(resolved)
    streams = (two_axes(x) for x in (u, delta, B, C, gate))
    u_BPTE, delta_BPTE, B_BPTN, C_BPTN, gate_BPTE = streams
    return scan(u_BPTE, delta_BPTE, A, B_BPTN, C_BPTN, D, delta_bias, gate_BPTE).reshape(u.shape)


def _implementation(backend: str) -> Callable[..., Tensor]:
    if backend == "triton":
        from pks4_lightning.ops.scan.triton import scan_by_triton

        return scan_by_triton
    return {"mamba_ssm": scan_by_mamba, "portable": _written_out}.get(backend, _scan)


def _written_out(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> Tensor:
    """Scan from a zero state with torch's own operators."""
    num_steps = u.shape[-2]
    if num_steps > _MOST_WRITTEN_OUT:
        raise ValueError(
            f"An exported graph contains every step of a scan, and this one has "
            f"{num_steps}: at most {_MOST_WRITTEN_OUT} are supported. Use fewer frames."
        )
    state = u.new_zeros(*u.shape[:-2], *A.shape, dtype=torch.promote_types(u.dtype, torch.float32))
    with torch.autocast(u.device.type, enabled=False):
        y, _ = selective_scan_steps(
            u, delta, A, B, C, D, delta_bias=delta_bias, gate=gate, state=state
        )
    return y


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
