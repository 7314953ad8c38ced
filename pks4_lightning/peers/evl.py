"""EVL: a learned query reads the frozen tower's tokens of all frames, without backpropagation.

Reference:
    Lin et al., "Frozen CLIP Models are Efficient Video Learners", ECCV 2022,
    https://arxiv.org/abs/2208.03550.

Dimensions:
    B: clips
    C: RGB
    T: frames
    H, W: pixels
    P: patches per frame
    L: tokens per frame, ``P + 1``, the class token first
    D: width of the tower
    I: images, ``B * T``
    M: tokens of a clip, ``T * L``
    O: relative offsets between two patches of a grid
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.insertion import ClipLayout, TowerPoints
from pks4_lightning.ops.attention import attention
from pks4_lightning.ops.position_resize import resize_frame_positions, resize_grid_positions
from pks4_lightning.peers.peer import Peer, Watch, last_blocks
from pks4_lightning.peers.time_convolution import TimeConvolution

__all__ = ["EVL", "CrossFrameAttention", "DecoderLayer"]


class EVL(Peer):
    """A learned query and decoder layers, each of which reads one of the tower's last blocks.

    Args:
        d_model: Width of the tower.
        num_heads: Heads of the tower's attention; the decoder has as many.
        grid_size: Rows of patches of a frame of the tower's own size.
        num_layers: Number of decoder layers, which read the tower's last blocks in order.
        num_frames: Number of frames of the temporal position embeddings.
        cross_frame_attention: Add information from the attention to neighbouring frames.
        dropout: Dropout in the decoder's MLP and before the head.
    """

    learns_through_tower: ClassVar[bool] = False

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int,
        grid_size: int,
        num_layers: int = 12,
        num_frames: int = 8,
        cross_frame_attention: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(d_model)
        self.query_embedding = nn.Parameter(torch.zeros(d_model))
        nn.init.normal_(self.query_embedding, std=0.02)
        self.layers = nn.ModuleList(
            DecoderLayer(d_model, num_heads=num_heads, num_frames=num_frames, dropout=dropout)
            for _ in range(num_layers)
        )
        self.cross_frame = nn.ModuleList(
            CrossFrameAttention(d_model, num_heads=num_heads, grid_size=grid_size)
            for _ in range(num_layers if cross_frame_attention else 0)
        )
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self._watches = tuple((Watch(), Watch(), Watch()) for _ in range(num_layers))
        self._layout = ClipLayout()

    def insert(self, tower: TowerPoints, layout: ClipLayout) -> None:
        """Observe the tower's last blocks, and the queries and keys of their attention."""
        self._layout = layout
        blocks = last_blocks(tower, len(self.layers))
        for (tokens, queries, keys), points in zip(self._watches, blocks, strict=True):
            tokens.what_leaves(points.block)
            if len(self.cross_frame):
                assert points.inner is not None
                queries.what_leaves(points.inner.queries)
                keys.what_leaves(points.inner.keys)

    def clip_vectors(self, frames: Float[Tensor, "I C H W"]) -> Float[Tensor, "B D"]:
        """Send the query through the decoder."""
        num_frames = self._layout.num_frames
        query = self.query_embedding.repeat(len(frames) // num_frames, 1, 1)
        for number, (layer, watches) in enumerate(zip(self.layers, self._watches, strict=True)):
            tokens, queries, keys = watches
            of_frames = tokens.take().unflatten(0, (-1, num_frames))
            beside = None
            if len(self.cross_frame):
                beside = self.cross_frame[number](
                    *(watch.take().unflatten(0, (-1, num_frames)) for watch in (queries, keys)),
                    self._layout.grid_size,
                )
            query = layer(query, of_frames, beside)
        return self.dropout(self.norm(query[:, 0]))


class DecoderLayer(nn.Module):
    """Add temporal information to the tokens, let the query attend to them, and apply an MLP.

    Args:
        d_model: Width.
        num_heads: Heads of the attention.
        num_frames: Number of frames of the temporal position embeddings.
        dropout: Dropout in the MLP's hidden layer.
    """

    def __init__(self, d_model: int, *, num_heads: int, num_frames: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.time = TimeConvolution(d_model)
        self.temporal_embedding = nn.Parameter(torch.zeros(num_frames, d_model))
        self.query_norm = nn.LayerNorm(d_model)
        self.token_norm = nn.LayerNorm(d_model)
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        self.mlp_norm = nn.LayerNorm(d_model)
        self.mlp_in = nn.Linear(d_model, 4 * d_model)
        self.dropout = nn.Dropout(dropout)
        self.mlp_out = nn.Linear(4 * d_model, d_model)

    def forward(
        self,
        query: Float[Tensor, "B 1 D"],
        tokens: Float[Tensor, "B T L D"],
        beside: Float[Tensor, "B T P D"] | None,
    ) -> Float[Tensor, "B 1 D"]:
        """Return the query after this layer.

        Args:
            query: The query before this layer.
            tokens: Output of the tower's block.
            beside: Output of the cross-frame attention, added to the patch tokens.
        """
        in_time = resize_frame_positions(self.temporal_embedding, tokens.shape[1]).unsqueeze(1)
        tokens = tokens + self.time(tokens) + in_time
        if beside is not None:
            tokens = tokens + F.pad(beside, (0, 0, 1, 0))
        query = query + self._attend(self.query_norm(query), self.token_norm(tokens).flatten(1, 2))
        hidden = self.mlp_in(self.mlp_norm(query))
        return query + self.mlp_out(self.dropout(hidden * torch.sigmoid(1.702 * hidden)))

    def _attend(
        self, query: Float[Tensor, "B 1 D"], tokens: Float[Tensor, "B M D"]
    ) -> Float[Tensor, "B 1 D"]:
        queries, keys, values = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.q_proj(query), self.k_proj(tokens), self.v_proj(tokens))
        )
        read = attention(queries, keys, values)
        return self.out_proj(read.transpose(1, 2).flatten(2))


class CrossFrameAttention(nn.Module):
    """Tell every patch the location of the patches that it attends to in neighbouring frames.

    Args:
        d_model: Width.
        num_heads: Heads of the tower's attention.
        grid_size: Rows of patches of a frame of the tower's own size.
    """

    def __init__(self, d_model: int, *, num_heads: int, grid_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        # one row per offset between two patches; initialised with zero
        num_offsets = (2 * grid_size - 1) ** 2
        self.previous_embedding = nn.Parameter(torch.zeros(num_offsets, d_model))
        self.following_embedding = nn.Parameter(torch.zeros(num_offsets, d_model))

    def forward(
        self,
        queries: Float[Tensor, "B T L D"],
        keys: Float[Tensor, "B T L D"],
        grid_size: tuple[int, int],
    ) -> Float[Tensor, "B T P D"]:
        """Return the update of the patch tokens.

        Args:
            queries: Queries of the tower's attention within frames.
            keys: Its keys.
            grid_size: Rows and columns of patches.
        """
        offsets = _offsets(grid_size, queries.device)
        heads_first = [
            x[:, :, 1:].unflatten(-1, (self.num_heads, -1)).transpose(2, 3) for x in (queries, keys)
        ]
        q, k = heads_first
        before = self._place(q[:, 1:], k[:, :-1], self.previous_embedding, offsets, grid_size)
        after = self._place(q[:, :-1], k[:, 1:], self.following_embedding, offsets, grid_size)
        return F.pad(before, (0, 0, 0, 0, 1, 0)) + F.pad(after, (0, 0, 0, 0, 0, 1))

    def _place(
        self,
        queries: Float[Tensor, "B T2 N P E"],
        keys: Float[Tensor, "B T2 N P E"],
        table: Float[Tensor, "O D"],
        offsets: Tensor,
        grid_size: tuple[int, int],
    ) -> Float[Tensor, "B T2 P D"]:
        """Average the embeddings of offsets, weighted by the attention's mean over heads."""
        scores = queries @ keys.mT / queries.shape[-1] ** 0.5
        weights_BTPP = scores.softmax(-1).mean(2)
        rows, columns = (2 * size - 1 for size in grid_size)
        embeddings_PPD = resize_grid_positions(table, (rows, columns))[offsets]
        return torch.einsum("btpq,pqd->btpd", weights_BTPP, embeddings_PPD.to(weights_BTPP.dtype))


def _offsets(grid_size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the index of the offset from every patch to every patch: P P."""
    rows, columns = grid_size
    row, column = torch.meshgrid(
        torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
    )
    row, column = row.flatten(), column.flatten()
    down, right = row - row.unsqueeze(1) + rows - 1, column - column.unsqueeze(1) + columns - 1
    return down * (2 * columns - 1) + right
