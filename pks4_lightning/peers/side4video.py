"""Side4Video: a narrow network beside the frozen tower reads its blocks, without backpropagation.

Reference:
    Yao et al., "Side4Video: Spatial-Temporal Side Network for Memory-Efficient Image-to-Video
    Transfer Learning", 2023, https://arxiv.org/abs/2311.15769.

Dimensions:
    B: clips
    C: RGB
    T: frames
    P: patches per frame
    L: tokens per frame, ``P + 1``, the class token first
    D: width of the tower
    S: width of the side network
    I: images, ``B * T``
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.insertion import ClipLayout, TowerPoints
from pks4_lightning.ops.attention import attention
from pks4_lightning.ops.position_resize import resize_grid_positions
from pks4_lightning.ops.temporal_shift import shift_frames
from pks4_lightning.peers.peer import Peer, Watch, last_blocks
from pks4_lightning.peers.time_convolution import TimeConvolution

__all__ = ["Side4Video", "SideBlock", "SideStem"]


class Side4Video(Peer):
    """A stem, a side block for each of the tower's last blocks, and the mean over all patches.

    Args:
        d_model: Width of the tower.
        d_side: Width of the side network: 128 or 320 for ViT-B, 320 or 512 for ViT-L.
        num_layers: Number of the tower's last blocks that have a side block.
        patch_size: Side of the tower's patches.
        num_patches: Patches of a frame of the tower's own size.
        d_head: Width of a head of the side blocks' attention.

    Raises:
        ValueError: If ``d_side`` is not a multiple of ``d_head``.
    """

    learns_through_tower: ClassVar[bool] = False

    def __init__(
        self,
        d_model: int,
        *,
        patch_size: int,
        num_patches: int,
        d_side: int = 128,
        num_layers: int = 12,
        d_head: int = 64,
    ) -> None:
        super().__init__(d_side)
        if d_side % d_head:
            raise ValueError(f"d_side ({d_side}) must be a multiple of d_head ({d_head}).")
        self.stem = SideStem(d_side, patch_size=patch_size)
        self.position_embedding = nn.Parameter(0.01 * torch.randn(num_patches, d_side))
        self.blocks = nn.ModuleList(
            SideBlock(d_model, d_side, num_heads=d_side // d_head) for _ in range(num_layers)
        )
        self.norm = nn.BatchNorm1d(d_side)
        self._watches = tuple(Watch() for _ in range(num_layers))
        self._layout = ClipLayout()

    def insert(self, tower: TowerPoints, layout: ClipLayout) -> None:
        """Observe the tower's last blocks."""
        self._layout = layout
        blocks = last_blocks(tower, len(self.blocks))
        for watch, points in zip(self._watches, blocks, strict=True):
            watch.what_leaves(points.block)

    def clip_vectors(self, frames: Float[Tensor, "I C H W"]) -> Float[Tensor, "B S"]:
        """Run the side network and return the mean over a clip's patches."""
        num_frames = self._layout.num_frames
        x = self.stem(frames.unflatten(0, (-1, num_frames)))
        positions = resize_grid_positions(self.position_embedding, self._layout.grid_size)
        for block, watch in zip(self.blocks, self._watches, strict=True):
            x = block(x, watch.take().unflatten(0, (-1, num_frames)), positions)
        return normalise_channels(self.norm, x).mean((1, 2))


class SideStem(nn.Module):
    """Embed patches of three frames at a time, and normalise.

    Args:
        d_side: Width of the side network.
        patch_size: Side of a patch.
    """

    def __init__(self, d_side: int, *, patch_size: int) -> None:
        super().__init__()
        self.patches = nn.Conv3d(
            3,
            d_side,
            kernel_size=(3, patch_size, patch_size),
            stride=(1, patch_size, patch_size),
            padding=(1, 0, 0),
        )
        self.norm = nn.BatchNorm1d(d_side)

    def forward(self, clips: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B T P S"]:
        """Return the side network's first tokens."""
        patches = self.patches(clips.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)
        return normalise_channels(self.norm, patches)


class SideBlock(nn.Module):
    """Add the tokens of a tower block, then mix along time, within frames, and per token.

    Args:
        d_model: Width of the tower.
        d_side: Width of the side network.
        num_heads: Heads of the attention.
    """

    def __init__(self, d_model: int, d_side: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.tower_norm = nn.LayerNorm(d_model)
        self.tower_proj = nn.Linear(d_model, d_side)
        self.time_norm = nn.BatchNorm1d(d_side)
        self.time = nn.Sequential(
            nn.Linear(d_side, d_side), TimeConvolution(d_side), nn.Linear(d_side, d_side)
        )
        self.attention_norm = nn.LayerNorm(d_side)
        self.q_proj = nn.Linear(d_side, d_side)
        self.k_proj = nn.Linear(d_side, d_side)
        self.v_proj = nn.Linear(d_side, d_side)
        self.out_proj = nn.Linear(d_side, d_side)
        self.mlp_norm = nn.BatchNorm1d(d_side)
        self.mlp = nn.Sequential(
            nn.Linear(d_side, 4 * d_side), nn.GELU(), nn.Linear(4 * d_side, d_side)
        )

    def forward(
        self,
        x: Float[Tensor, "B T P S"],
        tokens: Float[Tensor, "B T L D"],
        positions: Float[Tensor, "P S"],
    ) -> Float[Tensor, "B T P S"]:
        """Return the side network's tokens after this block.

        Args:
            x: The tokens before this block.
            tokens: Output of the tower's block.
            positions: One embedding per patch, used by the attention only.
        """
        class_token, patches = self.tower_proj(self.tower_norm(tokens)).tensor_split([1], dim=2)
        x = 0.5 * x + 0.5 * patches
        x = x + self.time(normalise_channels(self.time_norm, x))
        x = x + self._attend(x + positions, exchange_halves(class_token))
        return x + self.mlp(normalise_channels(self.mlp_norm, x))

    def _attend(
        self, patches: Float[Tensor, "B T P S"], class_token: Float[Tensor, "B T 1 S"]
    ) -> Float[Tensor, "B T P S"]:
        """Let patches attend to those of their frame and the class tokens of adjacent frames."""
        tokens = self.attention_norm(torch.cat([class_token, patches], dim=2)).flatten(0, 1)
        queries, keys, values = (
            projection(source).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection, source in (
                (self.q_proj, tokens[:, 1:]),
                (self.k_proj, tokens),
                (self.v_proj, tokens),
            )
        )
        read = attention(queries, keys, values)
        return self.out_proj(read.transpose(1, 2).flatten(2)).view_as(patches)


def exchange_halves(x: Float[Tensor, "B T *L S"]) -> Float[Tensor, "B T *L S"]:
    """Take half of the channels from the next frame and half from the previous one."""
    ahead, back = x.tensor_split(2, dim=-1)
    return torch.cat([shift_frames(ahead, 1), shift_frames(back, -1)], dim=-1)


def normalise_channels(norm: nn.BatchNorm1d, x: Float[Tensor, "B T P S"]) -> Tensor:
    """Normalise every channel over clips, frames and patches."""
    return norm(x.flatten(0, 2)).view_as(x)
