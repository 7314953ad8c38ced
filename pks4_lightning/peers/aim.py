"""AIM: reuse the blocks' frozen attention along time, with bottleneck adapters around it.

Reference:
    Yang et al., "AIM: Adapting Image Models for Efficient Video Action Recognition", ICLR 2023,
    https://arxiv.org/abs/2302.03024.

Dimensions:
    B: clips
    C: RGB
    T: frames
    H, W: pixels
    L: tokens per frame, the class token first
    D: width of the tower
    I: images, ``B * T``
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pks4_lightning.insertion import ClipLayout, Hooked, HookPoints, TowerPoints
from pks4_lightning.ops.drop_path import drop_path
from pks4_lightning.ops.position_resize import resize_frame_positions
from pks4_lightning.peers.peer import Peer, Watch, class_tokens_of_clips

__all__ = ["AIM", "AIMBlock", "Bottleneck"]


class AIM(Peer):
    """Adapters in every block, temporal position embeddings, and the mean of the class tokens.

    Args:
        d_model: Width of the tower.
        num_blocks: Number of blocks of the tower.
        temporal_adapters: Temporal adapters per block: 1, after the attention along time
            (Kinetics), or 2, also before it (Something-Something).
        scale: Scale of the adapter beside the MLP.
        drop_path_rate: Drop rate of that adapter in the last block; it grows linearly from 0.
        num_frames: Number of frames of the temporal position embeddings.
        dropout: Dropout before the head.

    Raises:
        ValueError: If ``temporal_adapters`` is neither 1 nor 2.
    """

    learns_through_tower: ClassVar[bool] = True
    trained_in_tower: ClassVar[tuple[str, ...]] = ("final_norm",)

    def __init__(
        self,
        d_model: int,
        *,
        num_blocks: int,
        temporal_adapters: int = 2,
        scale: float = 1.0,
        drop_path_rate: float = 0.2,
        num_frames: int = 8,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(d_model)
        if temporal_adapters not in (1, 2):
            raise ValueError(f"temporal_adapters ({temporal_adapters}) must be 1 or 2.")
        self.temporal_embedding = nn.Parameter(torch.zeros(num_frames, d_model))
        self.blocks = nn.ModuleList(
            AIMBlock(
                d_model,
                before_time=temporal_adapters == 2,
                scale=scale,
                drop_path_rate=float(rate),
            )
            for rate in torch.linspace(0, drop_path_rate, num_blocks, device="cpu")
        )
        self.dropout = nn.Dropout(dropout)
        self._class_tokens = Watch()
        self._layout = ClipLayout()

    def insert(self, tower: TowerPoints, layout: ClipLayout) -> None:
        """Hook the first tokens and every block, and observe the final norm."""
        self._layout = layout
        tower.embeddings.register_forward_hook(self._place_in_time)
        for adapters, points in zip(self.blocks, tower.blocks, strict=True):
            assert isinstance(adapters, Hooked)
            adapters.insert(points, layout)
        self._class_tokens.what_leaves(tower.final_norm)

    def clip_vectors(self, frames: Float[Tensor, "I C H W"]) -> Float[Tensor, "B D"]:
        """Average the normalised class tokens."""
        class_tokens = class_tokens_of_clips(self._class_tokens.take(), self._layout.num_frames)
        return self.dropout(class_tokens.mean(1))

    def _place_in_time(self, _embeddings: nn.Module, _args: Any, tokens: Tensor) -> Tensor:
        num_frames = self._layout.num_frames
        in_time = resize_frame_positions(self.temporal_embedding, num_frames).unsqueeze(1)
        return (tokens.unflatten(0, (-1, num_frames)) + in_time).flatten(0, 1)


class AIMBlock(Hooked):
    """The adapters of one block. New adapters leave the block unchanged.

    Args:
        d_model: Width of the tower.
        before_time: Whether there is an adapter before the attention along time.
        scale: Scale of the adapter beside the MLP.
        drop_path_rate: Probability that this adapter is dropped for a frame in training.
    """

    def __init__(
        self, d_model: int, *, before_time: bool, scale: float, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.scale = scale
        self.drop_path_rate = drop_path_rate
        self.before_time = Bottleneck(d_model, skip=True) if before_time else None
        self.along_time = AttentionAlongTime()
        self.after_time = Bottleneck(d_model)
        self.after_attention = Bottleneck(d_model, skip=True)
        self.beside_mlp = Bottleneck(d_model)

    def attach(self, points: HookPoints) -> Iterator[RemovableHandle]:
        """Register the hooks on a block."""
        assert points.inner is not None
        self.along_time.borrow(points.attention_norm, points.inner.attention)
        yield points.block.register_forward_pre_hook(self._enter_block)
        yield points.inner.attention.register_forward_hook(self._leave_attention)
        yield points.inner.mlp.register_forward_hook(self._leave_mlp)

    def _enter_block(self, _block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        tokens, *others = args
        attended = self.along_time(tokens, self.before_time, self.layout.num_frames)
        return (tokens + self.after_time(attended), *others)

    def _leave_attention(self, _attention: nn.Module, _args: Any, output: Any) -> Any:
        attended, *others = output
        return (self.after_attention(attended), *others)

    def _leave_mlp(self, _mlp: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        update = self.scale * self.beside_mlp(args[0])
        return output + drop_path(update, self.drop_path_rate, training=self.training)


class AttentionAlongTime(nn.Module):
    """A block's own norm and attention, on the tokens of one place over time."""

    def __init__(self) -> None:
        super().__init__()
        self._borrowed: tuple[nn.Module, ...] = ()  # in a tuple, so that they are no submodules

    def borrow(self, norm: nn.Module, attention: nn.Module) -> None:
        """Set the modules to use.

        Args:
            norm: The norm of the block.
            attention: The attention of the block.
        """
        self._borrowed = (norm, attention)

    def forward(
        self, tokens: Float[Tensor, "I L D"], adapter: nn.Module | None, num_frames: int
    ) -> Float[Tensor, "I L D"]:
        """Return what each token reads from the same location in all frames.

        Args:
            tokens: Tokens of the frames of clips.
            adapter: Adapter between norm and attention, if any.
            num_frames: Frames per clip.
        """
        norm, attention = self._borrowed
        x = norm(tokens).unflatten(0, (-1, num_frames)).transpose(1, 2)
        over_time = x.flatten(0, 1) if adapter is None else adapter(x.flatten(0, 1))
        # bypasses the hooks, which are for the attention within frames
        attended, _ = attention.forward(over_time, attention_mask=None)
        return attended.view_as(x).transpose(1, 2).flatten(0, 1)


class Bottleneck(nn.Module):
    """Bottleneck adapter: reduce to a quarter of the width, GELU, expand.

    Args:
        d_model: Width of input and output.
        skip: Add the input: a new adapter is the identity. Otherwise a new adapter returns zero.
    """

    def __init__(self, d_model: int, *, skip: bool = False) -> None:
        super().__init__()
        self.skip = skip
        self.down = nn.Linear(d_model, d_model // 4)
        self.up = nn.Linear(d_model // 4, d_model)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "*I D"]) -> Float[Tensor, "*I D"]:
        """Return the adapted tokens."""
        update = self.up(F.gelu(self.down(x)))
        return x + update if self.skip else update
