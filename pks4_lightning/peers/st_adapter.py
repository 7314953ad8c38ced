"""ST-Adapter: bottlenecks with a convolution over time, inserted into frozen blocks.

Reference:
    Pan et al., "ST-Adapter: Parameter-Efficient Image-to-Video Transfer Learning", NeurIPS 2022,
    https://arxiv.org/abs/2206.13559.

Dimensions:
    B: clips
    C: RGB
    T: frames
    H, W: pixels
    L: tokens per frame, the class token first
    P: patches per frame
    D: width of the tower
    I: images, ``B * T``
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pks4_lightning.insertion import ClipLayout, Hooked, HookPoints, TowerPoints
from pks4_lightning.peers.peer import Peer, Watch, class_tokens_of_clips
from pks4_lightning.peers.time_convolution import TimeConvolution

__all__ = ["STAdapter", "STAdapterBlock", "TimeBottleneck"]


class STAdapter(Peer):
    """One or two adapters per block, and the normalised mean of the class tokens over frames.

    Args:
        d_model: Width of the tower.
        num_blocks: Number of blocks of the tower.
        per_block: 1: before the MLP. 2: before the attention as well.
        d_adapter: Width of the bottlenecks.
        dropout: Dropout before the head.

    Raises:
        ValueError: If ``per_block`` is neither 1 nor 2.
    """

    learns_through_tower: ClassVar[bool] = True

    def __init__(
        self,
        d_model: int,
        *,
        num_blocks: int,
        per_block: int = 1,
        d_adapter: int = 384,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(d_model)
        if per_block not in (1, 2):
            raise ValueError(f"per_block ({per_block}) must be 1 or 2.")
        self.blocks = nn.ModuleList(
            STAdapterBlock(d_model, d_adapter=d_adapter, before_attention=per_block == 2)
            for _ in range(num_blocks)
        )
        self.dropout = nn.Dropout(dropout)
        self._class_tokens = Watch()
        self._layout = ClipLayout()
        self._final_norm: tuple[nn.Module, ...] = ()  # in a tuple, so that it is no submodule

    def insert(self, tower: TowerPoints, layout: ClipLayout) -> None:
        """Hook every block, and observe the output of the last one for the final norm."""
        self._layout = layout
        self._final_norm = (tower.final_norm,)
        for adapters, points in zip(self.blocks, tower.blocks, strict=True):
            assert isinstance(adapters, Hooked)
            adapters.insert(points, layout)
        self._class_tokens.what_enters(tower.final_norm)

    def clip_vectors(self, frames: Float[Tensor, "I C H W"]) -> Float[Tensor, "B D"]:
        """Average the class tokens, then normalise."""
        class_tokens = class_tokens_of_clips(self._class_tokens.take(), self._layout.num_frames)
        (norm,) = self._final_norm
        return self.dropout(norm.forward(class_tokens.mean(1)))  # bypasses the hook


class STAdapterBlock(Hooked):
    """The adapters of one block.

    Hooks cannot modify the residual stream inside a block; adding to the attention's update of it
    has the same effect before the MLP.

    Args:
        d_model: Width of the tower.
        d_adapter: Width of the bottlenecks.
        before_attention: Whether there is also one before the attention.
    """

    def __init__(self, d_model: int, *, d_adapter: int, before_attention: bool) -> None:
        super().__init__()
        self.before_attention = TimeBottleneck(d_model, d_adapter) if before_attention else None
        self.before_mlp = TimeBottleneck(d_model, d_adapter)
        self._residual: Tensor | None = None

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hooks on a block."""
        assert points.inner is not None
        if self.before_attention is not None:
            yield points.block.register_forward_pre_hook(self._enter_block)
        # inside the part recomputed by gradient checkpointing, so the residual is available again
        yield points.attention_norm.register_forward_pre_hook(self._keep_residual)
        yield points.inner.attention.register_forward_hook(self._leave_attention)

    def _enter_block(self, _block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *others = args
        assert self.before_attention is not None
        return (self._add(self.before_attention, to=tokens, of=tokens), *others)

    def _keep_residual(self, _norm: nn.Module, args: tuple[Any, ...]) -> None:
        self._residual = args[0]

    def _leave_attention(self, _attention: nn.Module, _args: Any, output: Any) -> Any:
        assert self._residual is not None
        residual, self._residual = self._residual, None
        attended, *others = output
        return (self._add(self.before_mlp, to=attended, of=residual + attended), *others)

    def _add(
        self, adapter: nn.Module, *, to: Float[Tensor, "I L D"], of: Float[Tensor, "I L D"]
    ) -> Float[Tensor, "I L D"]:
        """Add the output of an adapter to the patches; class tokens are unchanged."""
        class_token, patches = to.tensor_split([1], dim=1)
        update = adapter(of[:, 1:].unflatten(0, (-1, self.layout.num_frames))).flatten(0, 1)
        return torch.cat([class_token, patches + update], dim=1)


class TimeBottleneck(nn.Module):
    """Reduce, convolve over time, expand. A new adapter returns zero, as its convolution does.

    Args:
        d_model: Width of input and output.
        d_adapter: Width of the bottleneck.
    """

    def __init__(self, d_model: int, d_adapter: int) -> None:
        super().__init__()
        self.down = nn.Linear(d_model, d_adapter)
        self.time = TimeConvolution(d_adapter)
        self.up = nn.Linear(d_adapter, d_model)
        for parameter in (*self.time.parameters(), self.down.bias, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, patches: Float[Tensor, "B T P D"]) -> Float[Tensor, "B T P D"]:
        """Return the update of the patches."""
        return self.up(self.time(self.down(patches)))
