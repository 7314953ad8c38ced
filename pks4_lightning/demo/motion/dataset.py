"""The demo data set: short videos whose classes come in time-reversal pairs.

The folder has Something-Something V2's official layout, so training reads it in the same way:
``videos/<id>.webm`` (VP9), ``labels/{train,validation,test}.json`` and ``labels/labels.json``.
Unlike the official test list, this one has labels.

Each scene of the validation and test splits is there twice, once in each direction. A model that
ignores the order of frames gives both the same answer, so its direction is correct for exactly one
of the two. The scenes of the training split are all different.
"""

import logging
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pks4_lightning.demo.generated_set import (
    as_json,
    begin_set,
    finish_set,
    make_videos,
    write_whole,
)
from pks4_lightning.demo.motion.clips import (
    class_templates,
    encode_webm,
    label_names,
    make_clip,
    random_stream,
    scene_of,
)
from pks4_lightning.demo.motion.settings import MotionSettings
from pks4_lightning.progress import track
from pks4_lightning.ranges import check_at_least

__all__ = ["generate_motion_dataset"]

logger = logging.getLogger(__name__)

_FORMAT_VERSION = 2
"""Stored with the settings: increase it when the same settings no longer give the same bytes."""
_ORDER_STREAM = 1 << 40
"""First generator for the order of the splits; those below it belong to the scenes."""


@dataclass(frozen=True)
class _Entry:
    """A video to generate: its file name is its number, its scene's random stream is ``scene``."""

    number: int
    scene: int
    label: int
    split: str


def generate_motion_dataset(
    folder: Path | str,
    *,
    num_train: int = 1200,
    num_val: int = 240,
    num_test: int = 400,
    seed: int = 0,
    settings: MotionSettings | None = None,
    num_workers: int = 2,
) -> Path:
    """Write the demo data set, unless it is already finished.

    Files are written atomically. Calling the function again with the same arguments continues an
    interrupted call.

    Args:
        folder: Output folder; created if missing.
        num_train: Videos in the training split, balanced over classes.
        num_val: Videos in the validation split.
        num_test: Videos in the test split.
        seed: 0 or more. The bytes of every file depend only on the seed, the numbers of videos and
            the settings.
        settings: Appearance of the clips. ``None`` uses the defaults.
        num_workers: Number of processes that render and encode; 0 uses the calling process.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder holds another data set or other files, or a number is out of
            range.
    """
    folder, settings = Path(folder), settings or MotionSettings()
    counts = {"num_train": num_train, "num_val": num_val, "num_test": num_test}
    check_at_least(0, {**counts, "seed": seed, "num_workers": num_workers})
    numbers = {"train": num_train, "validation": num_val, "test": num_test}
    recipe = {
        "format": _FORMAT_VERSION,
        "seed": seed,
        "num_videos": numbers,
        # leave out unused settings, so that data sets made before these settings still match
        "settings": {key: value for key, value in asdict(settings).items() if value is not None},
    }
    if not begin_set(folder, recipe):
        logger.info("The motion set in %s is complete; nothing to do.", folder)
        return folder

    entries = _plan(numbers, seed=seed, num_classes=2 * len(settings.motions))
    work = partial(_make_video, folder=folder / "videos", seed=seed, settings=settings)
    placeholders: dict[int, tuple[str, ...]] = {}
    results = track(
        make_videos(work, entries, num_workers), total=len(entries), doing="Making videos"
    )
    for entry, names in zip(entries, results, strict=True):
        placeholders[entry.number] = names
    _write_labels(folder / "labels", entries, placeholders, settings)
    finish_set(folder)
    return folder


def _plan(numbers: dict[str, int], *, seed: int, num_classes: int) -> list[_Entry]:
    """Number the videos from 1 and assign each split balanced labels in random order."""
    entries: list[_Entry] = []
    for position, (split, amount) in enumerate(numbers.items()):
        videos = np.arange(amount)
        scenes = videos if split == "train" else videos // 2
        labels = videos % num_classes
        order = random_stream(seed, _ORDER_STREAM + position).permutation(amount)
        first = len(entries) + 1
        entries += [
            _Entry(first + place, first + int(scenes[video]), int(labels[video]), split)
            for place, video in enumerate(order)
        ]
    return entries


def _make_video(
    entry: _Entry, *, folder: Path, seed: int, settings: MotionSettings
) -> tuple[str, ...]:
    """Write a video, unless it exists; return its placeholders."""
    path = folder / f"{entry.number}.webm"
    if path.exists():
        scene = scene_of(entry.label, number=entry.scene, seed=seed, settings=settings)
        return tuple(sprite.name for sprite in scene.sprites)
    clip = make_clip(entry.label, number=entry.scene, seed=seed, settings=settings)
    write_whole(path, encode_webm(clip.frames, frames_per_second=settings.frames_per_second))
    return clip.placeholders


def _write_labels(
    folder: Path,
    entries: list[_Entry],
    placeholders: dict[int, tuple[str, ...]],
    settings: MotionSettings,
) -> None:
    """Write the annotation lists and the class index."""
    templates = class_templates(settings)
    lists: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for entry in entries:
        template, names = templates[entry.label], placeholders[entry.number]
        filled = template
        for name in names:
            filled = filled.replace("[something]", name, 1)
        lists[entry.split].append(
            {
                "id": str(entry.number),
                "label": filled,
                "template": template,
                "placeholders": list(names),
            }
        )
    for split, annotations in lists.items():
        write_whole(folder / f"{split}.json", as_json(annotations))
    index = {name: str(label) for label, name in enumerate(label_names(settings))}
    write_whole(folder / "labels.json", as_json(index))
