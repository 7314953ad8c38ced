"""The evidence on real clips: which parts of PKS^4 tell gestures apart whose order decides.

The arms stand in ``evidence_arms.json``: each a key, the name of its row, and what it sets of
``model.classifier`` in ``configs/egogestar.yaml``.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pks4_lightning.experiments.folds import GroupedClip, read_clips
from pks4_lightning.experiments.plan import Arm

__all__ = ["TASKS", "EvidenceTask", "arm_keys", "evidence_arms", "evidence_clips"]


@dataclass(frozen=True)
class EvidenceTask:
    """Some of the data set's classes, and how they are trained on."""

    classes: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    """Of ``pks4 fit``, on top of the configuration."""


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
}
"""``circlecc``, ``carret``: as the authors spell the files."""


def arm_keys() -> list[str]:
    """Return the keys of all arms, the one first that the others are compared with."""
    return list(_read())


def evidence_arms(keys: Sequence[str]) -> list[Arm]:
    """Return arms in the order of their file.

    Args:
        keys: Out of :func:`arm_keys`.

    Raises:
        ValueError: If there is no such arm.
    """
    known = _read()
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise ValueError(f"There is no arm {unknown[0]!r}; the arms are {', '.join(known)}.")
    return [known[key] for key in known if key in keys]


def evidence_clips(index: Path, task: EvidenceTask) -> list[GroupedClip]:
    """Read the clips of a task.

    Args:
        index: A table with the columns path, label and group.
        task: Whose classes are kept.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column or value is missing, or the table has no clip of a class.
    """
    clips = [clip for clip in read_clips(index) if clip.label in task.classes]
    lacking = sorted(set(task.classes) - {clip.label for clip in clips})
    if lacking:
        raise ValueError(f"{index} lists no clip of the class {lacking[0]!r}.")
    return clips


@functools.cache
def _read() -> dict[str, Arm]:
    text = files("pks4_lightning.experiments").joinpath("evidence_arms.json").read_text("utf-8")
    return {
        key: Arm(arm["name"], _arguments(arm["settings"])) for key, arm in json.loads(text).items()
    }


def _arguments(settings: dict[str, object]) -> tuple[str, ...]:
    words: list[str] = []
    for name, value in settings.items():
        words += (
            f"--model.classifier.{name}",
            value if isinstance(value, str) else json.dumps(value),
        )
    return tuple(words)
