"""The settings that a training would run with, where nothing is to be trained."""

from collections.abc import Sequence

from pks4_lightning.cli.settings import Settings, data_module, resolve
from pks4_lightning.cost.report import CostSettings
from pks4_lightning.cost.training_step import ClipBatch
from pks4_lightning.data.annotations.published_counts import official_counts
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import find_export

__all__ = ["cost_settings"]


def cost_settings(
    arguments: Sequence[str], *, checkpoint: str | None = None, num_videos: int | None = None
) -> CostSettings:
    """Read what decides the cost of a training.

    Args:
        arguments: Settings as `pks4 fit` takes them, ``--config`` and all.
        checkpoint: A training's checkpoint, whose settings the arguments change; or an export,
            which knows no training.
        num_videos: Training videos. ``None``: what the data set's authors publish, else those that
            ``data.root`` holds.

    Raises:
        FileNotFoundError: If there is no such checkpoint, or ``data.root`` is not there.
        ValueError: If the file is no checkpoint of ours, or no data set is named.
    """
    settings = resolve(arguments, checkpoint=checkpoint)
    data, trainer = settings["data"], settings["trainer"]
    classifier = PKS4Config(**settings["model"]["classifier"])
    num_epochs = trainer["max_epochs"]
    if num_epochs is None and checkpoint is not None and find_export(checkpoint) is not None:
        num_epochs = num_videos = 0  # it says nothing of how it was trained
    if num_epochs is None or num_epochs < 0:
        raise ValueError("The training compute needs an end: set --trainer.max_epochs.")
    return CostSettings(
        classifier=classifier,
        clips=ClipBatch(
            num_clips=data["batch_size"] * data["num_repeats"],
            num_frames=data["num_frames"],
            frame_size=data["frame_size"],
        ),
        num_clips=data["num_clips"],
        num_crops=data["num_crops"],
        precision=str(trainer["precision"] or "32-true"),
        num_videos=(
            _num_videos(settings, classifier.num_classes) if num_videos is None else num_videos
        ),
        num_epochs=num_epochs,
    )


def _num_videos(settings: Settings, num_classes: int) -> int:
    data = data_module(settings)
    official = official_counts(data.format, num_classes)
    if official is not None:
        return official.counts["train"]
    if data.root is None:
        raise ValueError(
            f"The settings name no data set of known size (data.format {data.format}, "
            f"{num_classes} classes), and the training compute needs one: give --data.root, or the "
            "number of training videos with --videos."
        )
    data.setup("fit")
    return len(data.videos("train"))
