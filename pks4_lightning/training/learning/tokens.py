"""Tokens of a classifier's frozen blocks: when they can be used, and how they are computed.

Dimensions:
    B: clips
    C: RGB channels
    T: frames
    H, W: pixels
    L: tokens per frame
    E: width of a token
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float, Shaped
from lightning.pytorch import Trainer
from torch import Tensor

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.learning.recipe import Recipe

__all__ = ["check_tokens", "encode", "trunk_identity"]

_OF_THE_TRUNK = ("backbone_config", "insert_after", "grid_size")


def check_tokens(recipe: Recipe, config: PKS4Config, *, is_sharded: bool) -> None:
    """Refuse a training that cannot use tokens of frozen blocks.

    Args:
        recipe: The recipe of the training.
        config: The configuration of the classifier.
        is_sharded: Whether its parameters are spread over ranks.

    Raises:
        ValueError: If blocks to be trained would be skipped, clips are mixed, or the classifier
            is compiled or sharded.
    """
    reason = None
    if recipe.trains == "all":
        reason = "frozen blocks: set --model.recipe.trains after_insertion"
    elif recipe.mix_prob and (recipe.mixup_alpha or recipe.cutmix_alpha):
        reason = "clips that are not mixed: set --model.recipe.mix_prob 0"
    elif config.compile:
        reason = "a classifier that is not compiled: set --model.classifier.compile false"
    elif is_sharded:
        reason = "the whole classifier on every rank: choose another trainer.strategy"
    if reason is not None:
        raise ValueError(f"data.token_cache needs {reason}.")


@torch.no_grad()
def encode(
    classifier: VideoClassifier, video: Float[Tensor, "B C T H W"], trainer: Trainer
) -> Shaped[Tensor, "B T L E"]:
    """Return the output of the frozen blocks for clips.

    Args:
        classifier: The classifier; its frozen blocks run in evaluation mode, as in training.
        video: Normalised clips on the classifier's device.
        trainer: Provides the precision of the blocks; tokens are stored in bfloat16 for 16-bit
            precision, and in float32 for 32-bit precision, without loss.
    """
    trunk = classifier.trunk()
    modes = [part.training for part in trunk]
    for part in trunk:
        part.eval()
    with trainer.precision_plugin.forward_context():
        tokens = classifier.trunk_tokens(video)
    for part, mode in zip(trunk, modes, strict=True):
        part.train(mode)
    return tokens.to(torch.bfloat16 if "16" in str(trainer.precision) else torch.float32)


def trunk_identity(classifier: VideoClassifier, config: PKS4Config, trainer: Trainer) -> str:
    """Return a fingerprint of the frozen blocks, including weights and precision.

    Args:
        classifier: The classifier, with its final weights.
        config: Its configuration, with the whole architecture of the backbone.
        trainer: As in :func:`encode`.
    """
    total = hashlib.sha256()
    fields: dict[str, Any] = {name: asdict(config)[name] for name in _OF_THE_TRUNK}
    total.update(json.dumps([fields, str(trainer.precision)], sort_keys=True).encode())
    for part in classifier.trunk():
        for name, tensor in part.state_dict().items():
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            total.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return total.hexdigest()
