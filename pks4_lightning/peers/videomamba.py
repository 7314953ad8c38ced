"""VideoMamba: bidirectional selective scans over all tokens of a clip, without attention or MLP.

Reference:
    Li et al., "VideoMamba: State Space Model for Efficient Video Understanding", ECCV 2024,
    https://arxiv.org/abs/2403.06977.

Dimensions:
    B: clips
    C: RGB
    T: frames
    H, W: pixels
    P: patches per frame
    L: tokens of a clip, ``1 + T * P``: the class token, then the frames' patches, frame by frame
    D: width
    E: inner width, ``2 * D``
    N: state size per channel
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pks4_lightning.ops.conv.causal_conv import causal_conv_silu
from pks4_lightning.ops.drop_path import drop_path
from pks4_lightning.ops.patch_resize import resize_patches
from pks4_lightning.ops.position_resize import resize_frame_positions, resize_grid_positions
from pks4_lightning.ops.scan.initial_values import init_state_space
from pks4_lightning.ops.scan.selective_scan import selective_scan

__all__ = ["BidirectionalMamba", "ClipEmbedding", "StateSpace", "VideoMamba", "VideoMambaLayer"]


class VideoMamba(nn.Module):
    """Maps clips to the vectors of their class tokens.

    Args:
        d_model: Width: 192, 384 or 576 (Ti, S, M).
        num_layers: Number of layers: 24, 24 or 32.
        image_size: Side of the frames that the grid of position embeddings is made for.
        patch_size: Side of the patches that the patch embedding is made for.
        num_frames: Frames that the temporal position embeddings are made for.
        d_state: State size per channel.
        drop_path_rate: Rate of the last layer's branch; it grows linearly from 0 at the first.
        gradient_checkpointing: Recompute the layers in the backward pass.
    """

    def __init__(
        self,
        d_model: int,
        *,
        num_layers: int,
        image_size: int = 224,
        patch_size: int = 16,
        num_frames: int = 8,
        d_state: int = 16,
        drop_path_rate: float = 0.1,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.gradient_checkpointing = gradient_checkpointing
        self.embedding = ClipEmbedding(
            d_model, image_size=image_size, patch_size=patch_size, num_frames=num_frames
        )
        self.layers = nn.ModuleList(
            VideoMambaLayer(d_model, d_state=d_state, drop_path_rate=float(rate))
            for rate in torch.linspace(0, drop_path_rate, num_layers, device="cpu")
        )
        self.norm = nn.RMSNorm(d_model, eps=1e-5)
        self._scale_residual_branches()

    def forward(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B D"]:
        """Return one vector per clip.

        Args:
            video: Normalised frames, of any number and of any size that whole patches cover.
            patch_size: Side of a patch in pixels; ``None`` uses that of the patch embedding.

        Raises:
            ValueError: If patches do not cover a frame exactly.
        """
        x = self.embedding(video, patch_size)
        for layer in self.layers:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        return self.norm(x[:, 0])

    def parts(self) -> dict[str, list[nn.Module]]:
        """Return the network's modules by their function."""
        layers = [layer for layer in self.layers if isinstance(layer, VideoMambaLayer)]
        mixers = [layer.mixer for layer in layers]
        return {
            "embedding": [self.embedding],
            "projections": [part for mixer in mixers for part in (mixer.in_proj, mixer.out_proj)],
            "state spaces": [part for mixer in mixers for part in (mixer.ahead, mixer.back)],
            "norms": [*(layer.norm for layer in layers), self.norm],
        }

    def parts_by_depth(self) -> Iterator[tuple[int, str, nn.Module]]:
        """Sort the network's parts by their distance from the pixels.

        Yields:
            Depth, name and module: 0 for the embedding, ``i`` for layer ``i`` counted from 1.
        """
        yield 0, "embedding", self.embedding
        for index, layer in enumerate(self.layers):
            yield index + 1, f"layers.{index}", layer

    @torch.no_grad()
    def _scale_residual_branches(self) -> None:
        """Scale the residual branches so that their sum does not grow with depth, as in Mamba."""
        for module in self.modules():
            if isinstance(module, BidirectionalMamba):
                module.out_proj.weight.div_(math.sqrt(len(self.layers)))


class ClipEmbedding(nn.Module):
    """Cuts clips into patches and adds position embeddings in space and time.

    Args:
        d_model: Width of the tokens.
        image_size: Side of the frames that the grid of position embeddings is made for.
        patch_size: Side of the patches that the weights are made for.
        num_frames: Frames that the temporal position embeddings are made for.

    Raises:
        ValueError: If patches do not cover a frame.
    """

    def __init__(self, d_model: int, *, image_size: int, patch_size: int, num_frames: int) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"image_size ({image_size}) must be a multiple of patch_size ({patch_size})."
            )
        self.patch_size = patch_size
        self.patches = nn.Conv2d(3, d_model, kernel_size=patch_size, stride=patch_size)
        self.class_embedding = nn.Parameter(torch.zeros(d_model))
        # for the class token, then for the patches
        num_positions = 1 + (image_size // patch_size) ** 2
        self.position_embedding = nn.Parameter(torch.empty(num_positions, d_model))
        self.temporal_embedding = nn.Parameter(torch.zeros(num_frames, d_model))
        nn.init.trunc_normal_(self.position_embedding, std=0.02)

    def forward(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B L D"]:
        """Return the tokens of each clip, the start of a residual stream.

        Under autocast they are in float32, as the position embeddings are.
        """
        num_clips, _, num_frames, height, width = video.shape
        side = patch_size or self.patch_size
        frames = resize_patches(
            video.transpose(1, 2).flatten(0, 1), patch_size=side, weight_size=self.patch_size
        )
        patches = self.patches(frames).flatten(2).mT.unflatten(0, (num_clips, num_frames))
        of_class, of_patches = self.position_embedding.split([1, len(self.position_embedding) - 1])
        in_frame = resize_grid_positions(of_patches, (height // side, width // side))
        in_time = resize_frame_positions(self.temporal_embedding, num_frames)
        patches = patches + in_frame + in_time.unsqueeze(1)
        class_token = (self.class_embedding + of_class).expand(num_clips, 1, -1)
        return torch.cat([class_token, patches.flatten(1, 2)], dim=1)


class VideoMambaLayer(nn.Module):
    """Normalises the tokens, scans them in both directions and adds the result.

    Args:
        d_model: Width of the tokens.
        d_state: State size per channel.
        drop_path_rate: Probability that the branch is skipped for a clip in training.
    """

    def __init__(self, d_model: int, *, d_state: int, drop_path_rate: float) -> None:
        super().__init__()
        self.drop_path_rate = drop_path_rate
        self.norm = nn.RMSNorm(d_model, eps=1e-5)
        self.mixer = BidirectionalMamba(d_model, d_state=d_state)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return the tokens; under autocast, the residual stream keeps its own precision."""
        branch = self.mixer(self.norm(x)).to(x.dtype)
        return x + drop_path(branch, self.drop_path_rate, training=self.training)


class BidirectionalMamba(nn.Module):
    """A Mamba block that reads the sequence forwards and, with separate weights, backwards.

    Both directions share the input and output projections; their gated outputs are added.

    Args:
        d_model: Width of the tokens.
        d_state: State size per channel.
    """

    def __init__(self, d_model: int, *, d_state: int = 16) -> None:
        super().__init__()
        d_inner = 2 * d_model
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.ahead = StateSpace(d_inner, d_state=d_state, dt_rank=math.ceil(d_model / 16))
        self.back = StateSpace(d_inner, d_state=d_state, dt_rank=math.ceil(d_model / 16))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        nn.init.trunc_normal_(self.in_proj.weight, std=0.02)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        """Return the update of the tokens."""
        content, gate = self.in_proj(x).chunk(2, dim=-1)
        y = self.ahead(content, gate) + self.back(content.flip(1), gate.flip(1)).flip(1)
        return self.out_proj(y)


class StateSpace(nn.Module):
    """One direction: convolution, step size, scan and gate.

    Args:
        d_inner: Width.
        d_state: State size per channel.
        dt_rank: Rank of the step size projection.
    """

    def __init__(self, d_inner: int, *, d_state: int, dt_rank: int) -> None:
        super().__init__()
        self._sizes = [dt_rank, d_state, d_state]
        self.conv1d = nn.Conv1d(d_inner, d_inner, kernel_size=4, padding=3, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, sum(self._sizes), bias=False)
        self.dt_proj = nn.Linear(dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.empty(d_inner, d_state))
        self.D = nn.Parameter(torch.empty(d_inner))
        nn.init.trunc_normal_(self.x_proj.weight, std=0.02)
        init_state_space(
            A_log=self.A_log, D=self.D, dt_weight=self.dt_proj.weight, dt_bias=self.dt_proj.bias
        )

    def forward(
        self, content: Float[Tensor, "B L E"], gate: Float[Tensor, "B L E"]
    ) -> Float[Tensor, "B L E"]:
        """Return the gated scan; a token depends only on those before it."""
        assert self.conv1d.bias is not None
        content = causal_conv_silu(content, self.conv1d.weight, self.conv1d.bias)
        delta, B, C = self.x_proj(content).split(self._sizes, dim=-1)
        return selective_scan(
            u=content,
            # without the bias, which the scan adds in float32
            delta=F.linear(delta, self.dt_proj.weight),
            A=-torch.exp(self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32))),
            B=B,
            C=C,
            D=self.D,
            delta_bias=self.dt_proj.bias,
            gate=gate,
        )
