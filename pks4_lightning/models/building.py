"""Build a classifier from its configuration."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.peer_classifier import NetworkClassifier, PeerClassifier
from pks4_lightning.models.pks4 import PKS4Module
from pks4_lightning.models.resolve import architecture_of, grid_size_of
from pks4_lightning.models.towers.weights import build_backbone
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.peers.building import build_network, build_peer, peer_settings
from pks4_lightning.peers.videomamba_weights import load_published

__all__ = ["build_classifier"]

logger = logging.getLogger(__name__)


def build_classifier(config: PKS4Config, load_weights: bool = True) -> VideoClassifier:
    """Build the classifier that a configuration describes.

    Args:
        config: The configuration.
        load_weights: Load the backbone's weights if the configuration asks for them. Off if a
            checkpoint will provide all weights: then neither a network nor the original weights are
            needed, provided that ``backbone_config`` is complete
            (:func:`~pks4_lightning.models.resolve.resolve_backbone_config`).

    Returns:
        The classifier, in training mode, on the current default device.

    Raises:
        FileNotFoundError: If the backbone is neither in a folder nor available from the hub.
        ValueError: If ``backbone_config``, ``temporal_config``, ``insert_after`` or the weights do
            not fit.
    """
    pretrained = config.pretrained and load_weights
    fields = architecture_of(config, from_scratch=not pretrained)
    if config.network is not None:
        classifier: VideoClassifier = _network(config, fields, pretrained)
    else:
        # built before the backbone, so that a given seed draws the same weights as ever
        pks4 = _pks4(config, fields["hidden_size"]) if config.temporal == "pks4" else None
        backbone = build_backbone(
            fields,
            weights=config.backbone if pretrained else None,
            gradient_checkpointing=config.gradient_checkpointing,
        )
        classifier = _around(backbone, config, fields, pks4)
        if pretrained:
            _report_new(classifier)
    if config.compile:
        classifier.compile()
    return classifier


def _around(
    backbone: nn.Module, config: PKS4Config, fields: dict[str, Any], pks4: PKS4Module | None
) -> VideoClassifier:
    """Build the temporal module and the head around an image tower."""
    shared: dict[str, Any] = {
        "num_classes": config.num_classes,
        "grid_size": grid_size_of(config, fields),
    }
    inserted: dict[str, Any] = {"insert_after": config.insert_after, **shared}
    match config.temporal:
        case "pks4":
            return PKS4Classifier(
                backbone,
                class_route=config.class_route,
                route_from=config.route_from,
                tsm_shifts=config.tsm_shifts,
                causal=config.causal,
                pks4=pks4,
                **inserted,
            )
        case "frame_average":
            return PKS4Classifier(backbone, class_route="none", **inserted)
        case "tsm":
            return PKS4Classifier(
                backbone,
                class_route="tsm",
                route_from=config.route_from,
                tsm_shifts=config.tsm_shifts,
                causal=config.causal,
                **inserted,
            )
        case "st_adapter" | "aim" | "evl" | "side4video":
            settings = peer_settings(config.temporal, config.temporal_config)
            peer = build_peer(config.temporal, settings, fields)
            return PeerClassifier(backbone, peer, **shared)


def _pks4(config: PKS4Config, d_model: int) -> PKS4Module | None:
    if not config.use_scanner:
        return None
    return PKS4Module(
        d_model,
        use_correlation=config.use_correlation,
        use_variation=config.use_variation,
        scanner=config.scanner,
        bidirectional=config.bidirectional,
        context_frames=config.context_frames,
        zero_context=config.zero_context,
        variation_ends=config.variation_ends,
        window_size=config.window_size,
        d_prior=config.d_prior,
        d_state=config.d_state,
        d_conv=config.d_conv,
        expand=config.expand,
        dt_rank=config.dt_rank,
        dt_min=config.dt_min,
        dt_max=config.dt_max,
        residual=config.residual,
        prior_init=config.prior_init,
        prior_precision=config.prior_precision,
        causal=config.causal,
    )


def _network(config: PKS4Config, fields: dict[str, Any], pretrained: bool) -> NetworkClassifier:
    classifier = NetworkClassifier(
        build_network(fields, gradient_checkpointing=config.gradient_checkpointing),
        d_model=fields["hidden_size"],
        num_classes=config.num_classes,
        grid_size=grid_size_of(config, fields),
    )
    if pretrained:
        head = load_published(classifier.network, Path(config.backbone))
        fits = head.keys() and head["weight"].shape == classifier.head.weight.shape
        if fits:
            classifier.head.load_state_dict(head)
        logger.info(
            "Loaded %s from %s, %s.",
            config.network,
            config.backbone,
            "with its head" if fits else "with a new head",
        )
    return classifier


def _report_new(classifier: VideoClassifier) -> None:
    new = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in classifier.named_children()
        if name != "backbone"
    }
    logger.info(
        "Newly initialised, in millions of parameters: %s.",
        ", ".join(f"{name} {count / 1e6:.3f}" for name, count in new.items() if count),
    )
