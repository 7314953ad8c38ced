"""KS4, the Kinematic Selective State Space Scanner: one Mamba block along time.

Reference:
    PKS^4, https://arxiv.org/abs/2604.26461, Section 3.4, Equations 19-25.
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
    https://arxiv.org/abs/2312.00752, Figure 3 and Section 3.6.

Dimensions:
    B: clips
    T: frames
    P: patches per frame; a sequence is one patch location of a clip over time
    D: backbone width
    E: inner width, ``expand * D``
    N: state size per channel
    R: rank of the step size projection
"""

import math
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.ops.conv.causal_conv import causal_conv_silu
from pks4_lightning.ops.scan.initial_values import init_state_space
from pks4_lightning.ops.scan.selective_scan import selective_scan
from pks4_lightning.ops.scan.step import selective_scan_steps

__all__ = ["KS4Scanner", "ScannerState"]


class ScannerState(NamedTuple):
    """The state of the scanner for a stream; initially zeros."""

    inputs: Float[Tensor, "B K P E"]
    """Inputs of the convolution from the last ``d_conv - 1`` frames."""
    scan: Float[Tensor, "B P E N"]
    """The state space model's state, in at least float32."""


class KS4Scanner(nn.Module):
    """Scan each patch location along time with a selective state space model.

    Parameter names are those of the Mamba code. Where the paper is silent we follow Mamba: SiLU
    after the convolution and on the gate (the paper's sigma in Equation 25), ``A = -exp(A_log)``
    with ``A_log`` initialised as ``log(1 ... N)``. The output projection is initialised with zero
    (Section 3.5.2, near-identity), so a new scanner returns zero.

    Args:
        d_model: Width of the features read and written.
        d_state: State size per channel.
        d_conv: Taps of the causal convolution over time.
        expand: Inner width as a multiple of ``d_model``.
        dt_rank: Rank of the step size projection. ``None`` means ``ceil(d_model / 16)``.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
    """

    title: ClassVar[str] = "KS4 scanner"

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | None = None,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
    ) -> None:
        super().__init__()
        d_inner = expand * d_model
        self.dt_min, self.dt_max = dt_min, dt_max
        self.d_state = d_state
        self.dt_rank = math.ceil(d_model / 16) if dt_rank is None else dt_rank

        self.norm = nn.LayerNorm(d_model)
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(
            d_inner, d_inner, kernel_size=d_conv, padding=d_conv - 1, groups=d_inner
        )
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.empty(d_inner, d_state))
        self.D = nn.Parameter(torch.empty(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the state space parameters and the output projection."""
        init_state_space(
            A_log=self.A_log,
            D=self.D,
            dt_weight=self.dt_proj.weight,
            dt_bias=self.dt_proj.bias,
            dt_min=self.dt_min,
            dt_max=self.dt_max,
        )
        nn.init.zeros_(self.out_proj.weight)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Return the scanned features, to be added to the residual stream.

        Patch locations never exchange information, and a frame depends on no later one. Tokens keep
        the ViT's memory layout: convolution and scan follow time by strides.
        """
        content, gate = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        y = selective_scan(
            *self._streams(self._convolve(content)),
            delta_bias=self.dt_proj.bias,
            gate=_swap_time_and_patches(gate),
        )
        return self.out_proj(_swap_time_and_patches(y))

    def initial_state(self, num_streams: int, num_patches: int) -> ScannerState:
        """Return the state before the first frame of every stream."""
        num_before, d_inner = self.conv1d.kernel_size[0] - 1, self.conv1d.in_channels
        like = self.out_proj.weight
        scan_dtype = torch.promote_types(like.dtype, torch.float32)
        return ScannerState(
            like.new_zeros(num_streams, num_before, num_patches, d_inner),
            like.new_zeros(num_streams, num_patches, d_inner, self.d_state, dtype=scan_dtype),
        )

    def step(
        self,
        x: Float[Tensor, "B T P D"],
        state: ScannerState,
        exists: Float[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T P D"], ScannerState]:
        """Return the result of :meth:`forward` for the next frames of streams.

        Args:
            x: Any number of frames.
            state: State after the preceding frames.
            exists: 1 for frames that exist; the others leave the state unchanged.
        """
        content, gate = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        if exists is not None:
            content = content * exists[..., None, None]
            exists = exists.unsqueeze(1).expand(-1, x.shape[2], -1)
        inputs = torch.cat([state.inputs, content], dim=1)
        num_before = state.inputs.shape[1]
        y, scan = selective_scan_steps(
            *self._streams(self._convolve_last(inputs, x.shape[1])),
            delta_bias=self.dt_proj.bias,
            gate=_swap_time_and_patches(gate),
            state=state.scan,
            exists=exists,
        )
        # a slice would keep all frames in memory
        after = ScannerState(inputs[:, inputs.shape[1] - num_before :].clone(), scan)
        return self.out_proj(_swap_time_and_patches(y)), after

    def _convolve(self, content: Float[Tensor, "B T P E"]) -> Float[Tensor, "B T P E"]:
        assert self.conv1d.bias is not None
        streams = _swap_time_and_patches(content)
        return _swap_time_and_patches(
            causal_conv_silu(streams, self.conv1d.weight, self.conv1d.bias)
        )

    def _convolve_last(
        self, inputs: Float[Tensor, "B N P E"], num_frames: int
    ) -> Float[Tensor, "B T P E"]:
        """Convolve only the last frames, which are preceded by all frames that they need."""
        assert self.conv1d.bias is not None
        dtype = torch.promote_types(inputs.dtype, torch.float32)
        sums = self.conv1d.bias.to(dtype).expand(*inputs.shape[:1], num_frames, *inputs.shape[2:])
        for tap, weight in enumerate(self.conv1d.weight.to(dtype).squeeze(1).unbind(-1)):
            sums = torch.addcmul(sums, inputs[:, tap : tap + num_frames].to(dtype), weight)
        return F.silu(sums).to(inputs.dtype)

    def _streams(self, content: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return u, delta, A, B, C and D for convolved content (Equations 21-23)."""
        delta, B, C = self.x_proj(content).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        return (
            _swap_time_and_patches(content),
            # Equation 22, without the bias, which the scan adds in float32
            _swap_time_and_patches(F.linear(delta, self.dt_proj.weight)),
            -torch.exp(_at_least_float32(self.A_log)),
            _swap_time_and_patches(B),
            _swap_time_and_patches(C),
            self.D,
        )


def _swap_time_and_patches(x: Tensor) -> Tensor:
    """View tokens as sequences, or sequences as tokens, without copying."""
    return x.transpose(1, 2)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
