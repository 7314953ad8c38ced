"""The tasks of the evaluation: clips, classes and training settings."""

from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.experiments.folds import GroupedClip, read_clips

__all__ = ["TASKS", "EvidenceTask", "evidence_clips"]


@dataclass(frozen=True)
class EvidenceTask:
    """Some of the data set's classes and the settings for training on them."""

    classes: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    """Arguments of ``pks4 fit``, added to the configuration."""
    table: str = "index.csv"
    """File name of the table of clips in the data set's folder."""
    is_split: bool = False
    """Whether the table has a training and a test split; otherwise clips are cross-validated."""


_DIRECTIONS = ("down", "left", "right", "up")
TASKS = {
    "directions": EvidenceTask(_DIRECTIONS),
    # no flips or reversals: the other gestures have no mirrored or reversed class
    "gestures": EvidenceTask(
        (*_DIRECTIONS, "carret", "circlecc", "del", "square", "star", "tick"),
        (
            *("--model.classifier.num_classes", "10", "--trainer.max_steps", "240"),
            *("--data.augmentation.flip", "0", "--data.augmentation.reverse", "0"),
        ),
    ),
    "motion": EvidenceTask(
        _DIRECTIONS,
        (
            # 17 frames have the same middle frames in both directions; with thousands of clips,
            # one view of each is enough
            *("--data.pool.num_frames", "17", "--data.pool.num_views", "1"),
            *("--trainer.max_steps", "800", "--trainer.max_epochs", "10"),
            *("--model.recipe.warmup_epochs", "0.4"),
        ),
        table="annotations.csv",
        is_split=True,
    ),
    "order": EvidenceTask(
        ("down_right", "left_up", "right_down", "up_left"),
        (
            # the priors of a frame reach too few others to see both motions; a mirrored clip would
            # be of another class
            *("--model.classifier.context_frames", "2"),
            *("--data.pool.num_frames", "33", "--data.pool.num_views", "1"),
            *("--data.num_frames", "20", "--data.augmentation.flip", "0"),
            "--data.augmentation.reverse_label_pairs",
            "[[left_up, down_right], [up_left, right_down]]",
            *("--trainer.max_steps", "2400", "--trainer.max_epochs", "10"),
            *("--model.recipe.warmup_epochs", "0.6"),
        ),
        table="annotations.csv",
        is_split=True,
    ),
}
"""``circlecc`` and ``carret`` are spelled as in the authors' files."""


def evidence_clips(index: Path, task: EvidenceTask) -> list[GroupedClip]:
    """Read the clips of a task.

    Args:
        index: A table with the columns path, label and group, and split if the task has splits.
        task: The task; other classes are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column or value is missing, or the table has no clip of a class or split.
    """
    clips = [clip for clip in read_clips(index) if clip.label in task.classes]
    lacking = sorted(set(task.classes) - {clip.label for clip in clips})
    if lacking:
        raise ValueError(
            f"{index} lists no clip of the class {lacking[0]!r}: name the folder of another data "
            "set, or the task that belongs to this one (--task)."
        )
    for split in ("train", "test") if task.is_split else ():
        if all(clip.split != split for clip in clips):
            raise ValueError(
                f"{index} lists no clip of the split {split!r}: name a folder that "
                "`pks4 demo-data --sources` has made."
            )
    return clips
