"""The settings of a training, read to compute its cost without training."""

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
    """Read the settings that determine the cost of a training.

    Args:
        arguments: Settings as for `pks4 fit`, ``--config`` included.
        checkpoint: A training checkpoint whose settings the arguments modify; or an export, which
            has no training settings.
        num_videos: Number of training videos. ``None``: the number published by the authors of the
            data set, or else the number found in ``data.root``.

    Raises:
        FileNotFoundError: If the checkpoint or ``data.root`` does not exist.
        ValueError: If the file is not a checkpoint of this package, or no data set is given.
    """
    settings = resolve(arguments, checkpoint=checkpoint)
    data, trainer = settings["data"], settings["trainer"]
    classifier = PKS4Config(**settings["model"]["classifier"])
    num_epochs = trainer["max_epochs"]
    if num_epochs is None and checkpoint is not None and find_export(checkpoint) is not None:
        num_epochs = num_videos = 0  # an export does not record how it was trained
    if num_epochs is None or num_epochs < 0:
        raise ValueError(
            "Training compute cannot be computed without a number of epochs: set "
            "--trainer.max_epochs."
        )
    return CostSettings(
        classifier=classifier,
        trains=settings["model"]["recipe"]["trains"],
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
            f"Training compute needs the size of the data set, which these settings do not give "
            f"(data.format {data.format}, {num_classes} classes): set --data.root, or give the "
            "number of training videos with --videos."
        )
    data.setup("fit")
    return len(data.videos("train"))
