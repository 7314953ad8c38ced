"""Read a trained classifier from a checkpoint or an export, without its training state."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import ClipInput, Inference, save_weights
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.training.checkpoints.reading import check_state_dict, read_checkpoint

__all__ = ["Trained", "read_trained", "rebuild", "save_trained"]

logger = logging.getLogger(__name__)

_PREFIX = "classifier."
_OF_CLIPS = ("num_frames", "resize", "frame_size", "mean", "std")


class Trained(NamedTuple):
    """A trained classifier: architecture, weights and preprocessing."""

    config: PKS4Config
    weights: dict[str, Tensor]
    """All tensors of the classifier; averaged ones if the training kept averages."""
    clip: ClipInput
    num_clips: int = 1
    """Clips per video in its tests and predictions."""
    num_crops: int = 1
    """Crops per clip."""
    precision: str = "32-true"
    """Precision of the computation, as in ``trainer.precision``."""


def read_trained(path: str | Path) -> Trained:
    """Read the classifier of a checkpoint and its preprocessing.

    Args:
        path: A file that `pks4 fit` wrote, or an export.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it cannot be read, or does not record how clips were made.
    """
    content = read_checkpoint(path)
    settings = content.get("config", {})
    data = settings.get("data", {})
    absent = [name for name in _OF_CLIPS if name not in data]
    if absent:
        raise ValueError(f"{path} does not record the {', '.join(absent)} of its training clips.")
    if data.get("test_sampler") is not None:
        logger.warning(
            "%s sets data.test_sampler, which only `pks4 test` and `pks4 predict` use: here and in "
            "exports, clips are chosen without it, so that scores may differ.",
            path,
        )
    config = PKS4Config(**content["hyper_parameters"]["classifier"])
    return Trained(
        # settings of how and where it was trained do not belong to the classifier
        replace(
            config,
            backbone=_without_folders(config.backbone),
            pretrained=False,
            compile=False,
            gradient_checkpointing=False,
        ),
        {
            name.removeprefix(_PREFIX): tensor
            for name, tensor in content["state_dict"].items()
            if name.startswith(_PREFIX)
        },
        ClipInput(
            label_names=list(content["label_names"]),
            frame_rate=data.get("frame_rate"),
            **{name: data[name] for name in _OF_CLIPS},
        ),
        num_clips=data.get("num_clips", 1),
        num_crops=data.get("num_crops", 1),
        precision=str(settings.get("trainer", {}).get("precision") or "32-true"),
    )


def save_trained(folder: Path, trained: Trained) -> None:
    """Write a trained classifier as an export, which predicts as its checkpoint does.

    Args:
        folder: New, empty, or with an earlier export.
        trained: From :func:`read_trained`.

    Raises:
        FileExistsError: If the folder contains anything else.
    """
    save_weights(
        folder,
        config=trained.config,
        weights=trained.weights,
        clip=trained.clip,
        inference=Inference(
            num_clips=trained.num_clips,
            num_crops=trained.num_crops,
            precision=trained.precision,
        ),
    )


def rebuild(trained: Trained) -> VideoClassifier:
    """Build a trained classifier. Neither a network nor the backbone's folder is needed.

    Args:
        trained: From :func:`read_trained`.

    Returns:
        The classifier, in evaluation mode on the CPU.

    Raises:
        ValueError: If the weights do not fit the architecture.
    """
    classifier = build_classifier(trained.config, load_weights=False)
    check_state_dict(trained.weights, classifier.state_dict())
    classifier.load_state_dict(trained.weights)
    return classifier.eval()


def _without_folders(backbone: str) -> str:
    """Return a hub id or a folder of this package unchanged, and the name of any other folder."""
    is_hub_id = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", backbone) and not Path(backbone).is_dir()
    if is_hub_id or backbone.startswith("pks4_lightning/"):
        return backbone
    return Path(backbone).expanduser().resolve().name
