"""Resolve the configuration of a classifier by looking up its backbone."""

import dataclasses
from typing import Any

from pks4_lightning.batch import FrameInput
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.towers.architecture import (
    backbone_fields,
    family_of_fields,
    tower_config,
)
from pks4_lightning.models.towers.family import IMAGENET
from pks4_lightning.models.towers.preprocessing import (
    checked,
    default_preprocessing,
    read_preprocessing,
)
from pks4_lightning.models.towers.published import PUBLISHED
from pks4_lightning.peers.building import PEERS, network_fields, peer_settings

__all__ = [
    "architecture_of",
    "grid_size_of",
    "preprocessing_of",
    "resolve_backbone_config",
    "without_weights",
]


def resolve_backbone_config(config: PKS4Config) -> PKS4Config:
    """Fill in the whole architecture, ``grid_size``, and ``preprocessing`` if known.

    All values are plain. A checkpoint that saves the result can be reloaded without a network and
    without the backbone's folder.

    Args:
        config: The configuration; its ``backbone`` is looked up unless ``backbone_config`` is
            already the whole architecture.

    Raises:
        FileNotFoundError: If the backbone is neither in a folder nor available from the hub.
        ValueError: If ``backbone_config``, ``grid_size`` or ``preprocessing`` do not fit it, or
            ``temporal_config`` does not fit its method.
    """
    fields = architecture_of(config, from_scratch=not config.pretrained)
    known = _known_preprocessing(config, fields)
    settings = config.temporal_config
    if config.temporal in PEERS:
        settings = peer_settings(config.temporal, settings)
    return dataclasses.replace(
        config,
        backbone_config=fields,
        temporal_config=settings,
        grid_size=grid_size_of(config, fields),
        preprocessing=None if known is None else known.as_settings(),
    )


def architecture_of(config: PKS4Config, *, from_scratch: bool) -> dict[str, Any]:
    """Return the backbone's architecture.

    Args:
        config: The configuration.
        from_scratch: Treat ``backbone_config`` as the whole architecture, if it is given.

    Raises:
        FileNotFoundError: If the backbone is neither in a folder nor available from the hub.
        ValueError: If ``backbone_config`` does not fit it.
    """
    if config.network is not None:
        return network_fields(config.network, config.backbone_config)
    return backbone_fields(
        config.backbone, overrides=config.backbone_config, from_scratch=from_scratch
    )


def grid_size_of(config: PKS4Config, fields: dict[str, Any]) -> int | None:
    """Return how many rows and columns of patches frames are cut into, if that is fixed.

    Args:
        config: The configuration.
        fields: The backbone's architecture.

    Raises:
        ValueError: If the backbone does not support such a grid.
    """
    own = int(fields["image_size"]) // int(fields["patch_size"])
    if config.network is not None:
        return own if config.grid_size == "own" else config.grid_size
    family = family_of_fields(fields)
    if family.is_fixed(tower_config(fields)):
        if config.grid_size not in (None, "own", own):
            raise ValueError(
                f"grid_size ({config.grid_size}) must be {own} or null: position embeddings of "
                f"this {family.name} tower cannot be interpolated."
            )
        return own
    return own if config.grid_size == "own" else config.grid_size


def preprocessing_of(config: PKS4Config) -> FrameInput:
    """Return the preprocessing of a classifier: as known, or else the default of its family.

    Args:
        config: The configuration.

    Raises:
        FileNotFoundError: If the backbone is needed and not found.
        ValueError: If the configuration does not fit it.
    """
    config = without_weights(config)
    if config.preprocessing is not None:
        return checked(config.preprocessing)
    return _usual_preprocessing(config, architecture_of(config, from_scratch=True))


def without_weights(config: PKS4Config) -> PKS4Config:
    """Return the same architecture with random weights, so that building it downloads nothing.

    Args:
        config: The configuration. Backbones in
            :data:`~pks4_lightning.models.towers.published.PUBLISHED` are known; another one is
            looked up unless ``backbone_config`` is already the whole architecture.

    Returns:
        The configuration with ``pretrained`` and ``compile`` off.

    Raises:
        FileNotFoundError: If another backbone is neither in a folder nor available from the hub.
        ValueError: If ``backbone_config`` names an unknown field.
    """
    if _looked_up(config) and config.backbone in PUBLISHED:
        fields = {**PUBLISHED[config.backbone], **(config.backbone_config or {})}
        whole = architecture_of(
            dataclasses.replace(config, backbone_config=fields), from_scratch=True
        )
        known = _known_preprocessing(config, whole)
        assert known is not None
        config = dataclasses.replace(
            config,
            pretrained=False,
            backbone_config=whole,
            preprocessing=known.as_settings(),
        )
    resolved = resolve_backbone_config(config)
    return dataclasses.replace(resolved, pretrained=False, compile=False)


def _looked_up(config: PKS4Config) -> bool:
    """Return whether the backbone must be looked up to complete the configuration."""
    return config.network is None and (config.pretrained or not config.backbone_config)


def _usual_preprocessing(config: PKS4Config, fields: dict[str, Any]) -> FrameInput:
    """Return the default preprocessing of the backbone's family, or of published networks."""
    if config.network is None:
        return default_preprocessing(fields)
    return FrameInput(IMAGENET.mean, IMAGENET.std, int(fields["image_size"]))


def _known_preprocessing(config: PKS4Config, fields: dict[str, Any]) -> FrameInput | None:
    """Return the preprocessing in the configuration or backbone; ``None`` if in neither."""
    given = config.preprocessing or {}
    own: FrameInput | None
    if config.network is not None:
        own = _usual_preprocessing(config, fields)
    elif set(given) == {"mean", "std", "size"} or not _looked_up(config):
        own = default_preprocessing(fields) if given else None
    elif config.backbone in PUBLISHED:
        own = default_preprocessing(fields)
    else:
        own = read_preprocessing(config.backbone, fields)
    if not given:
        return own
    try:
        usual = own or _usual_preprocessing(config, fields)
        return checked({**usual.as_settings(), **given})
    except ValueError as error:
        raise ValueError(f"preprocessing ({given}) is invalid: {error}.") from error
