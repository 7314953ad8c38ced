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

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.ops.conv.causal_conv import causal_conv_silu
from pks4_lightning.ops.scan.selective_scan import selective_scan

__all__ = ["KS4Scanner"]

# step sizes at the start, log-uniform in between (Mamba, Section 3.6)
_DELTA_MIN = 0.001
_DELTA_MAX = 0.1


class KS4Scanner(nn.Module):
    """Scan each patch location along time with a selective state space model.

    Parameter names are those of the Mamba code. Where the paper is silent we follow Mamba: SiLU
    after the convolution and on the gate (the paper's sigma in Equation 25), ``A = -exp(A_log)``
    with ``A_log`` starting at ``log(1 ... N)``. The output projection starts at zero (Section
    3.5.2, near-identity), so a new scanner returns zero.

    Args:
        d_model: Width of the features read and written.
        d_state: State size per channel.
        d_conv: Taps of the causal convolution over time.
        expand: Inner width as a multiple of ``d_model``.
        dt_rank: Rank of the step size projection. ``None`` means ``ceil(d_model / 16)``.
    """

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | None = None,
    ) -> None:
        super().__init__()
        d_inner = expand * d_model
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

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the state space parameters and the output projection to their start."""
        self.A_log.copy_(torch.arange(1, self.d_state + 1).log().expand_as(self.A_log))
        self.D.fill_(1.0)
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        log_delta = torch.empty_like(self.dt_proj.bias).uniform_(
            math.log(_DELTA_MIN), math.log(_DELTA_MAX)
        )
        delta = log_delta.exp()
        # the inverse of softplus
        self.dt_proj.bias.copy_(delta + torch.log(-torch.expm1(-delta)))
        nn.init.zeros_(self.out_proj.weight)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Return the scanned features, to be added to the residual stream.

        Patch locations never exchange information, and a frame sees no later one. Tokens stay where
        the ViT has put them: convolution and scan walk along time by strides.
        """
        assert self.conv1d.bias is not None
        content, gate = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        content = _swap_time_and_patches(
            causal_conv_silu(_swap_time_and_patches(content), self.conv1d.weight, self.conv1d.bias)
        )
        delta, B, C = self.x_proj(content).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        y = selective_scan(
            u=_swap_time_and_patches(content),
            # Equation 22, without the bias: the scan adds it in float32
            delta=_swap_time_and_patches(F.linear(delta, self.dt_proj.weight)),
            A=-torch.exp(_at_least_float32(self.A_log)),
            B=_swap_time_and_patches(B),
            C=_swap_time_and_patches(C),
            D=self.D,
            delta_bias=self.dt_proj.bias,
            gate=_swap_time_and_patches(gate),
        )
        return self.out_proj(_swap_time_and_patches(y))


def _swap_time_and_patches(x: Tensor) -> Tensor:
    """View tokens as sequences, or sequences as tokens; nothing moves in memory."""
    return x.transpose(1, 2)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
