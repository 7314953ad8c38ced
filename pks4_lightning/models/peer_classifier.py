"""Classifiers of the methods in :mod:`pks4_lightning.peers`.

Dimensions:
    B: clips
    C: RGB
    D: width of what the head reads
    T: frames
    H, W: pixels
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.towers.families import family_of
from pks4_lightning.models.video_classifier import VideoClassifier, new_head
from pks4_lightning.peers.peer import Peer
from pks4_lightning.peers.videomamba import VideoMamba

__all__ = ["NetworkClassifier", "PeerClassifier"]


class PeerClassifier(VideoClassifier):
    """Classify clips with a peer method on an image tower.

    Of the tower, only the parameters named by the peer train. The projection of its class token is
    removed.

    Args:
        backbone: Image tower of a family that peers support.
        peer: The method.
        num_classes: Number of action classes.
        grid_size: As in :class:`~pks4_lightning.models.video_classifier.VideoClassifier`.

    Raises:
        ValueError: If the tower is of another family, or not deep enough.
    """

    def __init__(
        self, backbone: nn.Module, peer: Peer, *, num_classes: int, grid_size: int | None = None
    ) -> None:
        config: Any = backbone.config
        super().__init__(own_patch_size=config.patch_size, grid_size=grid_size)
        self.family = family_of(config.model_type, where="backbone")
        points = self.family.tower_points(backbone)
        self.family.drop_projection(backbone)
        self.backbone = backbone
        self.peer = peer
        self.head = new_head(peer.d_out, num_classes)
        self._layout = ClipLayout(num_prefix_tokens=self.family.num_prefix_tokens(config))
        peer.insert(points, self._layout)
        backbone.requires_grad_(False)
        for name in peer.trained_in_tower:
            getattr(points, name).requires_grad_(True)

    def clip_vectors(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B D"]:
        """Return the peer's vector of each clip; see the base class."""
        frames, self._layout.grid_size = self._frames(video, patch_size)
        self._layout.num_frames = video.shape[2]
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.peer.learns_through_tower):
            self.family.frame_vectors(self.backbone, frames)
        return self.peer.clip_vectors(frames)

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        """Return tower, peer and head by name."""
        return {"vision tower": [self.backbone], "peer": [self.peer], "head": [self.head]}

    def parts_within(self) -> Sequence[str]:
        """Return the name of the peer, if it acts inside the tower."""
        return ("peer",) if self.peer.learns_through_tower else ()

    def parts_by_depth(self) -> Iterator[tuple[int, str, nn.Module]]:
        """Yield the tower's parts by depth."""
        for depth, path, part in self.family.parameters_by_depth(self.backbone):
            yield depth, f"backbone.{path}", part


class NetworkClassifier(VideoClassifier):
    """Classify clips with a network of its own, such as VideoMamba.

    Args:
        network: Maps clips to vectors.
        d_model: Width of the vectors.
        num_classes: Number of action classes.
        grid_size: As in :class:`~pks4_lightning.models.video_classifier.VideoClassifier`.
    """

    def __init__(
        self,
        network: VideoMamba,
        *,
        d_model: int,
        num_classes: int,
        grid_size: int | None = None,
    ) -> None:
        super().__init__(own_patch_size=network.embedding.patch_size, grid_size=grid_size)
        self.network = network
        self.head = new_head(d_model, num_classes)

    def clip_vectors(
        self, video: Float[Tensor, "B C T H W"], patch_size: int | None = None
    ) -> Float[Tensor, "B D"]:
        """Return the network's vectors; see the base class."""
        frames, _ = self._frames(video, patch_size)
        return self.network(frames.unflatten(0, (len(video), -1)).transpose(1, 2))

    def parts(self) -> dict[str, Sequence[nn.Module]]:
        """Return the network's parts and the head by name."""
        return {**self.network.parts(), "head": [self.head]}

    def parts_by_depth(self) -> Iterator[tuple[int, str, nn.Module]]:
        """Yield the network's parts by depth."""
        for depth, path, part in self.network.parts_by_depth():
            yield depth, f"network.{path}", part
