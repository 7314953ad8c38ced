"""The motion bench: cut-outs of real frames moving over real videos, in time-reversal pairs.

A class is the direction of one object, or of two that move in turn, in order
(:mod:`~pks4_lightning.demo.cutouts.settings`).

The folder has ``videos/<number>.webm`` and ``annotations.csv`` with the columns path, label, split,
group and amplitude, which ``pks4 fit`` reads without changes. A group is a scene. Each scene of the
test split is there twice, once in each direction, including its background. A model that ignores
the order of frames gives both the same answer, so at most one of the two is correct. The scenes of
the training split are all different, and are made of other source videos.
"""

import logging
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pks4_lightning.demo.cutouts.scenes import draw_scene, render_scene
from pks4_lightning.demo.cutouts.settings import ONE_MOTION, CutoutSettings
from pks4_lightning.demo.cutouts.sources import Sources, find_sources
from pks4_lightning.demo.generated_set import (
    begin_set,
    finish_set,
    make_videos,
    write_whole,
)
from pks4_lightning.demo.motion.clips import encode_webm, random_stream
from pks4_lightning.files import write_csv
from pks4_lightning.progress import track
from pks4_lightning.ranges import check_at_least

__all__ = ["generate_cutout_dataset"]

logger = logging.getLogger(__name__)

_FORMAT_VERSION = 1
"""Stored with the settings: increase it when the same settings no longer give the same bytes."""
_QUALITY = 32
"""VP9's ``crf``; lower is better, and 48 is enough for the flat shapes of the demo data set."""


@dataclass(frozen=True)
class _Entry:
    """A video to generate: its file name is its number, its scene's random stream is ``scene``."""

    number: int
    scene: int
    label: int
    amplitude: int
    split: str

    @property
    def path(self) -> str:
        return f"videos/{self.number}.webm"


def generate_cutout_dataset(
    folder: Path,
    *,
    sources: Path,
    num_train: int = 2000,
    num_test: int = 1000,
    seed: int = 0,
    settings: CutoutSettings = ONE_MOTION,
    num_workers: int = 2,
) -> Path:
    """Write the motion bench, unless it is already finished.

    Files are written atomically. Calling the function again with the same arguments continues an
    interrupted call.

    Args:
        folder: Output folder; created if missing.
        sources: Folder of the videos that the clips are made of; see
            :func:`~pks4_lightning.demo.cutouts.sources.find_sources`.
        num_train: Videos in the training split; balanced over classes and their amplitudes.
        num_test: Videos in the test split.
        seed: 0 or more. The bytes of every file depend only on the seed, the sources, the numbers
            of videos and the settings.
        settings: Appearance of the clips.
        num_workers: Number of processes that render and encode; 0 uses the calling process.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If the folder of sources does not exist.
        ValueError: If the sources are too few for two splits or one of them is damaged, the folder
            holds another data set or other files, a number is out of range, or ``num_test``
            is odd.
    """
    numbers = {"num_train": num_train, "num_test": num_test}
    check_at_least(0, {**numbers, "seed": seed, "num_workers": num_workers})
    if num_test % 2:
        raise ValueError(
            f"num_test is {num_test}; it must be even, because each scene is there in both "
            "directions."
        )
    found = find_sources(sources, num_frames=settings.num_frames)
    appearance = asdict(settings)
    if settings.pairs == ONE_MOTION.pairs:  # the folders of version 0.2.0 were written without
        del appearance["pairs"]
    recipe = {
        "cutouts": _FORMAT_VERSION,
        "seed": seed,
        "num_videos": {"train": num_train, "test": num_test},
        "sources": found.fingerprint(),
        "settings": appearance,
    }
    if not begin_set(folder, recipe):
        logger.info("The motion bench in %s is complete; nothing to do.", folder)
        return folder
    entries = [
        *_plan("train", num_train, first=1, settings=settings),
        *_plan("test", num_test, first=1 + num_train, settings=settings),
    ]
    work = partial(_make_video, folder=folder, sources=found, seed=seed, settings=settings)
    made = make_videos(work, entries, num_workers)
    for _ in track(made, total=len(entries), doing="Making videos"):
        pass
    write_csv(
        folder / "annotations.csv",
        ["path", "label", "split", "group", "amplitude"],
        [(e.path, settings.labels[e.label], e.split, e.scene, e.amplitude) for e in entries],
    )
    finish_set(folder)
    return folder


def _plan(split: str, amount: int, *, first: int, settings: CutoutSettings) -> list[_Entry]:
    """Assign labels and amplitudes evenly; each two consecutive test videos share a scene."""
    entries = []
    num_labels = len(settings.labels)
    for place in range(amount):
        scene = place - place % 2 if split == "test" else place
        amplitude = settings.amplitudes[place // num_labels % len(settings.amplitudes)]
        entries.append(_Entry(first + place, first + scene, place % num_labels, amplitude, split))
    return entries


def _make_video(
    entry: _Entry, *, folder: Path, sources: Sources, seed: int, settings: CutoutSettings
) -> None:
    """Write a video, unless it exists."""
    if (folder / entry.path).exists():
        return
    scene = draw_scene(
        settings.pairs[entry.label // 2].axes,
        amplitude=entry.amplitude,
        sources=sources.test if entry.split == "test" else sources.train,
        folder=sources.folder,
        rng=random_stream(seed, entry.scene),
        settings=settings,
    )
    frames = render_scene(scene, size=settings.size)
    if entry.label % 2:
        frames = np.ascontiguousarray(frames[::-1])
    content = encode_webm(frames, frames_per_second=settings.frames_per_second, quality=_QUALITY)
    write_whole(folder / entry.path, content)
