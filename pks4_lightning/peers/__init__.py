"""The methods that the paper compares PKS⁴ with, one per file."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.peers.aim import AIM
    from pks4_lightning.peers.evl import EVL
    from pks4_lightning.peers.peer import Peer
    from pks4_lightning.peers.side4video import Side4Video
    from pks4_lightning.peers.st_adapter import STAdapter
    from pks4_lightning.peers.videomamba import VideoMamba
    from pks4_lightning.peers.videomamba_weights import load_published
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["AIM", "EVL", "Peer", "STAdapter", "Side4Video", "VideoMamba", "load_published"]
