"""The motion bench: cut-outs of real frames that move over real video, in time-reversal pairs.

The folder has ``videos/<number>.webm`` and ``annotations.csv`` with the columns path, label, split,
group and amplitude, which ``pks4 fit`` reads as it is. The group is the scene. Each scene of the
test split stands there twice, once in each direction, background and all. Whatever answers from an
unordered set of frames gives both the same answer: it is right about one of the two at most. The
scenes of the training split are all different, and made of other source videos.
"""

import logging
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pks4_lightning.demo.cutouts.scenes import draw_scene, render_scene
from pks4_lightning.demo.cutouts.settings import LABELS, CutoutSettings
from pks4_lightning.demo.cutouts.sources import Sources, find_sources
from pks4_lightning.demo.generated_set import (
    begin_set,
    finish_set,
    make_videos,
    refuse_negative,
    write_whole,
)
from pks4_lightning.demo.motion.clips import encode_webm, random_stream
from pks4_lightning.files import write_csv
from pks4_lightning.progress import track

__all__ = ["generate_cutout_dataset"]

logger = logging.getLogger(__name__)

_FORMAT_VERSION = 1
"""Part of the settings file: raise it when the same settings no longer give the same bytes."""
_QUALITY = 32
"""VP9's scale, on which the flat shapes of the demo set do with 48."""


@dataclass(frozen=True)
class _Entry:
    """One video to be made: its number is its name, its scene the number of its generator."""

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
    settings: CutoutSettings = CutoutSettings(),  # noqa: B008 - frozen
    num_workers: int = 2,
) -> Path:
    """Write the motion bench, or leave it alone where it is already finished.

    Each file appears under its name only when it is whole. An interrupted call is continued by the
    next one with the same arguments.

    Args:
        folder: Where to write; created if missing.
        sources: Folder of the videos that the clips are made of; see
            :func:`~pks4_lightning.demo.cutouts.sources.find_sources`.
        num_train: Videos in the training split; classes, and amplitudes within them, in balance.
        num_test: Videos in the test split.
        seed: 0 or more. The bytes of every file depend on this, the sources, the numbers and the
            settings alone.
        settings: What the clips look like.
        num_workers: Processes that render and encode. 0 works in the calling process.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there is no folder of sources.
        ValueError: If the sources do not make two splits, one of them is damaged, the folder holds
            another set or foreign files, or a number is out of range.
    """
    refuse_negative(num_train=num_train, num_test=num_test, seed=seed, num_workers=num_workers)
    found = find_sources(sources, num_frames=settings.num_frames)
    recipe = {
        "cutouts": _FORMAT_VERSION,
        "seed": seed,
        "num_videos": {"train": num_train, "test": num_test},
        "sources": found.fingerprint(),
        "settings": asdict(settings),
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
        [(e.path, LABELS[e.label], e.split, e.scene, e.amplitude) for e in entries],
    )
    finish_set(folder)
    return folder


def _plan(split: str, amount: int, *, first: int, settings: CutoutSettings) -> list[_Entry]:
    """Deal a split's labels and amplitudes evenly; two test videos in a row share their scene."""
    entries = []
    for place in range(amount):
        scene = place - place % 2 if split == "test" else place
        amplitude = settings.amplitudes[place // len(LABELS) % len(settings.amplitudes)]
        entries.append(_Entry(first + place, first + scene, place % len(LABELS), amplitude, split))
    return entries


def _make_video(
    entry: _Entry, *, folder: Path, sources: Sources, seed: int, settings: CutoutSettings
) -> None:
    """Write one video unless it is there."""
    if (folder / entry.path).exists():
        return
    scene = draw_scene(
        entry.label // 2,
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
