"""The tasks of the evidence: which clips, of which classes, and how they are trained on."""

from dataclasses import dataclass
from pathlib import Path

from pks4_lightning.experiments.folds import GroupedClip, read_clips

__all__ = ["TASKS", "EvidenceTask", "evidence_clips"]


@dataclass(frozen=True)
class EvidenceTask:
    """Some of the data set's classes, and how they are trained on."""

    classes: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    """Of ``pks4 fit``, on top of the configuration."""
    table: str = "index.csv"
    """Of the clips, in the data set's folder."""
    is_split: bool = False
    """Whether the table tells training and test clips apart; else they are cross-validated."""


_DIRECTIONS = ("down", "left", "right", "up")
TASKS = {
    "directions": EvidenceTask(_DIRECTIONS),
    # other gestures than these have no mirrored and no reversed counterpart
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
            # 17 frames have the same middle ones in both directions; one view is enough where
            # there are thousands of clips
            *("--data.pool.num_frames", "17", "--data.pool.num_views", "1"),
            *("--trainer.max_steps", "800", "--trainer.max_epochs", "10"),
            *("--model.recipe.warmup_epochs", "0.4"),
        ),
        table="annotations.csv",
        is_split=True,
    ),
}
"""``circlecc``, ``carret``: as the authors spell the files."""


def evidence_clips(index: Path, task: EvidenceTask) -> list[GroupedClip]:
    """Read the clips of a task.

    Args:
        index: A table with the columns path, label and group; one of a split, that too.
        task: Whose classes are kept.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column or value is missing, or the table has no clip of a class or split.
    """
    clips = [clip for clip in read_clips(index) if clip.label in task.classes]
    lacking = sorted(set(task.classes) - {clip.label for clip in clips})
    if lacking:
        raise ValueError(f"{index} lists no clip of the class {lacking[0]!r}.")
    for split in ("train", "test") if task.is_split else ():
        if all(clip.split != split for clip in clips):
            raise ValueError(
                f"{index} lists no clip of the split {split!r}: name a folder that "
                "`pks4 demo-data --sources` has made."
            )
    return clips
