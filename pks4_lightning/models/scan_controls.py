"""Controls for the scanner: a GRU and self-attention along time, of the size of a KS4 scanner.

They show what a selective scan contributes beyond temporal mixing with the same number of
parameters. Neither is in the paper.

References:
    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation", 2014, https://arxiv.org/abs/1406.1078 (the GRU, in the form of PyTorch and cuDNN).
    Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762, Sections
    3.2 and 3.5.

Dimensions:
    B: clips
    T: frames
    P: patches per frame; a sequence is one patch location of a clip over time
    D: backbone width
    H: hidden width
"""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.ops.attention import attention

__all__ = ["TemporalAttention", "TemporalGRU"]

_HEAD_WIDTH = 64
_LONGEST_PERIOD = 10_000.0


class TemporalGRU(nn.Module):
    """Read each patch location along time with a gated recurrent unit.

    Pre-norm and a zero output projection, as in the KS4 scanner. The hidden state is kept in at
    least float32.

    Args:
        d_model: Width of the features read and written.
        num_parameters: Approximate size; determines the hidden width.
    """

    title: ClassVar[str] = "temporal GRU"

    def __init__(self, d_model: int, *, num_parameters: int) -> None:
        super().__init__()
        # 3 H (D + H) + 6 H + H D + 2 D parameters
        half = 2 * d_model + 3
        d_hidden = round((math.sqrt(half**2 + 3 * (num_parameters - 2 * d_model)) - half) / 3)
        self.norm = nn.LayerNorm(d_model)
        self.input_proj = nn.Linear(d_model, 3 * d_hidden)
        self.hidden_proj = nn.Linear(d_hidden, 3 * d_hidden)
        self.out_proj = nn.Linear(d_hidden, d_model, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the gates like PyTorch's GRU and the output projection with zero."""
        bound = self.out_proj.in_features**-0.5
        for projection in (self.input_proj, self.hidden_proj):
            nn.init.uniform_(projection.weight, -bound, bound)
            nn.init.uniform_(projection.bias, -bound, bound)
        nn.init.zeros_(self.out_proj.weight)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Return the update of the residual stream; a frame depends on no later one."""
        # not by initial_state, because the number of clips is unknown in a trace
        start = x.new_zeros(
            x.shape[0], x.shape[2], self.out_proj.in_features, dtype=self._state_dtype
        )
        return self.step(x, start)[0]

    def initial_state(self, num_streams: int, num_patches: int) -> Float[Tensor, "B P H"]:
        """Return the state before the first frame of every stream."""
        weight = self.out_proj.weight
        return weight.new_zeros(num_streams, num_patches, weight.shape[1], dtype=self._state_dtype)

    @property
    def _state_dtype(self) -> torch.dtype:
        return torch.promote_types(self.out_proj.weight.dtype, torch.float32)

    def step(
        self,
        x: Float[Tensor, "B T P D"],
        state: Float[Tensor, "B P H"],
        exists: Float[Tensor, "B T"] | None = None,
    ) -> tuple[Float[Tensor, "B T P D"], Float[Tensor, "B P H"]]:
        """Return the result of :meth:`forward` for the next frames of streams.

        Args:
            x: Any number of frames.
            state: State after the preceding frames.
            exists: 1 for frames that exist; the others leave the state unchanged.
        """
        inputs = self.input_proj(self.norm(x))
        states = []
        for time, frame in enumerate(inputs.unbind(1)):
            after = self._advance(frame, state)
            if exists is not None:
                after = torch.where(exists[:, time, None, None] > 0, after, state)
            states.append(after)
            state = after
        return self.out_proj(torch.stack(states, dim=1).to(inputs.dtype)), state

    def _advance(self, frame: Float[Tensor, "B P G"], state: Tensor) -> Tensor:
        hidden = self.hidden_proj(state.to(self.hidden_proj.weight.dtype))
        reset, update, new = frame.chunk(3, dim=-1)
        reset_by, update_by, new_by = hidden.chunk(3, dim=-1)
        candidate = torch.tanh(new + torch.sigmoid(reset + reset_by) * new_by)
        kept = torch.sigmoid(update + update_by)
        return kept * state + (1 - kept) * candidate


class TemporalAttention(nn.Module):
    """Let the frames of each patch location attend to each other.

    Pre-norm and a zero output projection, as in the KS4 scanner, with as many heads as a ViT of
    that width. Sinusoidal position embeddings are added after the norm; without them it would
    ignore the order of the frames.

    Args:
        d_model: Width of the features read and written.
        num_parameters: Approximate size; determines the width of a head.
    """

    title: ClassVar[str] = "temporal attention"

    def __init__(self, d_model: int, *, num_parameters: int) -> None:
        super().__init__()
        self.num_heads = max(1, d_model // _HEAD_WIDTH)
        # 4 D H + 2 D parameters
        per_head = (num_parameters - 2 * d_model) / (4 * d_model * self.num_heads)
        d_hidden = self.num_heads * max(1, round(per_head))
        self.norm = nn.LayerNorm(d_model)
        self.qkv_proj = nn.Linear(d_model, 3 * d_hidden, bias=False)
        self.out_proj = nn.Linear(d_hidden, d_model, bias=False)
        nn.init.zeros_(self.out_proj.weight)

    def forward(self, x: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Return the update of the residual stream; patch locations do not mix."""
        y = self.norm(x)
        y = y + _positions(y).unsqueeze(1)
        heads = self.qkv_proj(y).unflatten(-1, (3, self.num_heads, -1))
        # one sequence per patch location: (B P) heads T width
        queries, keys, values = heads.permute(3, 0, 2, 4, 1, 5).flatten(1, 2).unbind()
        mixed = attention(queries, keys, values)
        clips = mixed.unflatten(0, (x.shape[0], x.shape[2])).permute(0, 3, 1, 2, 4).flatten(3)
        return self.out_proj(clips)


def _positions(like: Float[Tensor, "B T P D"]) -> Float[Tensor, "T D"]:
    """Return sines, then cosines, of the frame index at decreasing frequencies."""
    num_frames, width = like.shape[1], like.shape[3]
    num_sines = width - width // 2
    dtype = torch.promote_types(like.dtype, torch.float32)
    times = torch.arange(num_frames, device=like.device, dtype=dtype)
    frequencies = torch.arange(num_sines, device=like.device, dtype=dtype) / num_sines
    angles = times.outer(_LONGEST_PERIOD**-frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :width].to(like.dtype)
