"""Build peers and networks from names and settings.

Settings are plain values that a checkpoint can store; sizes that a peer must share with its tower
are read from the tower's architecture.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from pks4_lightning.peers.aim import AIM
from pks4_lightning.peers.evl import EVL
from pks4_lightning.peers.peer import Peer
from pks4_lightning.peers.side4video import Side4Video
from pks4_lightning.peers.st_adapter import STAdapter
from pks4_lightning.peers.videomamba import VideoMamba

__all__ = ["NETWORKS", "PEERS", "build_network", "build_peer", "network_fields", "peer_settings"]

_Module = TypeVar("_Module", bound=nn.Module)

PEERS: dict[str, type[Peer]] = {
    "st_adapter": STAdapter,
    "aim": AIM,
    "evl": EVL,
    "side4video": Side4Video,
}
"""Maps ``model.classifier.temporal`` to the method."""

NETWORKS: dict[str, dict[str, Any]] = {
    "videomamba_ti": {"hidden_size": 192, "num_hidden_layers": 24},
    "videomamba_s": {"hidden_size": 384, "num_hidden_layers": 24},
    "videomamba_m": {"hidden_size": 576, "num_hidden_layers": 32},
}
"""Maps ``model.classifier.network`` to the sizes published under that name (VideoMamba, Section
4.1)."""
_NETWORK_FIELDS = {
    "image_size": 224,
    "patch_size": 16,
    "num_frames": 8,
    "d_state": 16,
    "drop_path_rate": 0.1,
}


def peer_settings(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Complete the settings of a peer.

    Args:
        name: A key of :data:`PEERS`.
        given: Settings that differ from the defaults.

    Returns:
        All settings of the peer, as plain values.

    Raises:
        ValueError: If it has no such setting.
    """
    defaults = _settings(PEERS[name])
    for key in given or {}:
        if key not in defaults:
            raise ValueError(
                f"temporal_config has no field {key!r} for {name}; the fields are "
                f"{', '.join(defaults)}."
            )
    return {**defaults, **(given or {})}


def build_peer(name: str, settings: Mapping[str, Any], tower: Mapping[str, Any]) -> Peer:
    """Build a peer for a tower.

    Args:
        name: A key of :data:`PEERS`.
        settings: From :func:`peer_settings`.
        tower: The architecture of a CLIP or ViT tower.

    Raises:
        ValueError: If a value is not valid for the peer.
    """
    grid_size = tower["image_size"] // tower["patch_size"]
    known = {
        "num_blocks": tower["num_hidden_layers"],
        "num_heads": tower["num_attention_heads"],
        "patch_size": tower["patch_size"],
        "grid_size": grid_size,
        "num_patches": grid_size**2,
    }
    return _called(
        PEERS[name],
        tower["hidden_size"],
        **{key: value for key, value in known.items() if key in _arguments(PEERS[name])},
        **settings,
    )


def network_fields(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Complete the architecture of a network.

    Args:
        name: A key of :data:`NETWORKS`.
        given: Fields that differ from those published under that name.

    Returns:
        All fields, as plain values.

    Raises:
        ValueError: If there is no such field.
    """
    defaults = {**NETWORKS[name], **_NETWORK_FIELDS}
    for key in given or {}:
        if key not in defaults:
            raise ValueError(
                f"backbone_config has no field {key!r} for {name}; the fields are "
                f"{', '.join(defaults)}."
            )
    return {**defaults, **(given or {})}


def build_network(fields: Mapping[str, Any], *, gradient_checkpointing: bool) -> VideoMamba:
    """Build a network with random weights.

    Args:
        fields: From :func:`network_fields`.
        gradient_checkpointing: Recompute its layers in the backward pass.

    Raises:
        ValueError: If a value is not valid for the network.
    """
    rest = {name: fields[name] for name in _NETWORK_FIELDS}
    return _called(
        VideoMamba,
        fields["hidden_size"],
        num_layers=fields["num_hidden_layers"],
        gradient_checkpointing=gradient_checkpointing,
        **rest,
    )


def _arguments(of: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(of).parameters


def _settings(peer: type[Peer]) -> dict[str, Any]:
    """Return the configurable settings of a peer: its arguments with defaults."""
    return {
        name: argument.default
        for name, argument in _arguments(peer).items()
        if argument.default is not inspect.Parameter.empty
    }


def _called(build: Callable[..., _Module], *args: Any, **settings: Any) -> _Module:
    try:
        return build(*args, **settings)
    except (TypeError, RuntimeError, ZeroDivisionError) as error:
        shown = ", ".join(f"{name} {value}" for name, value in settings.items())
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"No model can be built from these settings ({reason}): {shown}."
        ) from error
