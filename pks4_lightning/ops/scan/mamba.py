"""The selective scan of the ``mamba_ssm`` package, for GPUs without Triton and for comparisons.

Reference:
    https://github.com/state-spaces/mamba, ``selective_scan_fn``: channels before time, float32
    weights, streams of one dtype.
"""

import torch
from torch import Tensor

__all__ = ["scan_by_mamba"]

# The package counts saved states (sequences x channels x chunks x states) in 32 bits and overflows
# silently; a chunk is 2048 steps.
_MAX_STATES = 2**31 - 1
_STEPS_PER_CHUNK = 2048


def scan_by_mamba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor | None,
    gate: Tensor | None,
) -> Tensor:
    """Return the output of :func:`~pks4_lightning.ops.scan.selective_scan.selective_scan`.

    Raises:
        ValueError: If an input is in float64.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    dtype = torch.promote_types(u.dtype, delta.dtype)
    if dtype == torch.float64:
        raise ValueError(
            "The scan of mamba_ssm does not support float64: use backend 'torch' or 'triton'."
        )
    num_steps, num_channels = u.shape[-2:]
    num_chunks = -(-num_steps // _STEPS_PER_CHUNK)
    slab = max(1, _MAX_STATES // (num_channels * num_chunks * A.shape[1]))
    streams = [_channels_first(x, dtype, slab) for x in (u, delta, B, C)]
    gates = [None] * len(streams[0]) if gate is None else _channels_first(gate, dtype, slab)
    with torch.autocast(u.device.type, enabled=False):
        parts = [
            selective_scan_fn(
                u_SET,
                delta_SET,
                A.float(),
                B_SNT,
                C_SNT,
                D.float(),
                z=gate_SET,
                delta_bias=None if delta_bias is None else delta_bias.float(),
                delta_softplus=delta_bias is not None,
            )
            for u_SET, delta_SET, B_SNT, C_SNT, gate_SET in zip(*streams, gates, strict=True)
        ]
    y: Tensor = torch.cat(parts).transpose(1, 2).to(u.dtype)
    return y.reshape(u.shape)


def _channels_first(x: Tensor, dtype: torch.dtype, slab: int) -> tuple[Tensor, ...]:
    return x.flatten(0, -3).transpose(1, 2).to(dtype).contiguous().split(slab)
