"""The frozen blocks of a classifier: what they make of clips, and what names it.

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
    """Refuse a training that cannot do with tokens of frozen blocks.

    Args:
        recipe: Of the training.
        config: Of the classifier.
        is_sharded: Whether its parameters are spread over ranks.

    Raises:
        ValueError: If blocks that train would be left out, clips are mixed, or the classifier is
            compiled or sharded.
    """
    reason = None
    if recipe.trains == "all":
        reason = "frozen blocks: set --model.recipe.trains after_insertion"
    elif recipe.mix_prob and (recipe.mixup_alpha or recipe.cutmix_alpha):
        reason = "clips that are not mixed: set --model.recipe.mix_prob 0"
    elif config.compile:
        reason = "a classifier that is not compiled: set --model.classifier.compile false"
    elif is_sharded:
        reason = "a classifier that every rank has as a whole: choose another trainer.strategy"
    if reason is not None:
        raise ValueError(f"data.token_cache needs {reason}.")


@torch.no_grad()
def encode(
    classifier: VideoClassifier, video: Float[Tensor, "B C T H W"], trainer: Trainer
) -> Shaped[Tensor, "B T L E"]:
    """Return what the frozen blocks make of clips.

    Args:
        classifier: Its trunk runs as in a test, as it does when it is frozen.
        video: Normalised clips on the classifier's device.
        trainer: Its precision is that of the blocks; a 16-bit one keeps tokens in bfloat16, 32 in
            float32, which loses nothing.
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
    """Name the frozen blocks by what they are made of, weights and precision included.

    Args:
        classifier: With the weights that it is to run with.
        config: Its description, with the whole architecture of the backbone.
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
