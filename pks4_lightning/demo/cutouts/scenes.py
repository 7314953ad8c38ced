"""A scene of the motion bench: a real video as background, with cut-outs of another in front.

A scene is one path through time, including the background. Its two classes are the path and the
path played backwards, so the set of frames without their order does not tell them apart.

Dimensions:
    T: frames
    H, W: pixels
    S: side of a cut-out's bounding square, in pixels
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator

from pks4_lightning.demo.cutouts.settings import CutoutSettings
from pks4_lightning.demo.cutouts.sources import Source, read_frames

__all__ = ["Cutout", "Scene", "draw_scene", "render_scene"]

Way = Float[np.ndarray, "T 2"]
"""Positions to the right and down, in pixels."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """A piece of a frame and its path."""

    picture: Float[np.ndarray, "S S 4"]
    """RGB from 0 to 255, premultiplied by coverage, and the coverage from 0 to 1."""
    way: Way
    """Positions of its centre for a camera at its mean position; NaN where it is not there."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A background, cut-outs and the path of the camera."""

    background: UInt8[np.ndarray, "T H W 3"]
    camera: Way
    """Positions of the upper left corner of the visible part of the background."""
    drift: Way
    """Displacements of the camera from its mean position."""
    cutouts: tuple[Cutout, ...]
    """Ordered from back to front."""
    moving: tuple[int, ...]
    """Indices of the cut-outs that the class is named after."""


def draw_scene(
    axes: Sequence[int],
    *,
    amplitude: float,
    sources: Sequence[Source],
    folder: Path,
    rng: Generator,
    settings: CutoutSettings,
) -> Scene:
    """Draw a scene of a pair of classes, in the first class's direction of time.

    Args:
        axes: The axes along which cut-outs move towards lower values, one after the other: 0 to the
            left, 1 up.
        amplitude: Distance that each moves relative to the background, in pixels.
        sources: Videos of the split.
        folder: Folder of the videos.
        rng: Source of all random numbers. It does not depend on which class of the pair is wanted.
        settings: Settings of the data set.

    Raises:
        VideoDecodeError: If a video is damaged.
    """
    behind, before = rng.choice(len(sources), 2, replace=False)
    margin = math.ceil(settings.drift[1] / 2.0) + 1
    short_side = settings.size + 2 * margin
    start = int(rng.integers(sources[behind].num_frames - settings.num_frames + 1))
    background = read_frames(
        folder / sources[behind].path,
        range(start, start + settings.num_frames),
        short_side=short_side,
    )
    drift = _drift(rng, settings)
    spare = np.array([background.shape[2], background.shape[1]]) - settings.size - 2 * margin
    corner = margin + np.floor(rng.uniform(0.0, 1.0, 2) * (spare + 1))
    picture = read_frames(
        folder / sources[before].path,
        [int(rng.integers(sources[before].num_frames))],
        short_side=short_side,
    )[0]
    spans = dict(zip(axes, _spans(len(axes)), strict=True))
    # in the order of axes: which object is in front must not tell which moves first
    named = [_slide(rng, axis, amplitude, spans[axis], settings) for axis in sorted(axes)]
    ways = [_jitter(rng, rng.uniform(0.0, settings.size, 2), settings)
            for _ in range(settings.num_distractors)]  # fmt: skip
    ways.extend(named)
    if rng.uniform() < settings.occlusion:
        beside = rng.uniform(-0.7, 0.7, 2) * settings.radius[0]
        covered = named[rng.integers(len(named))]
        covered = covered[~np.isnan(covered).any(axis=1)]
        ways.append(_jitter(rng, covered[rng.integers(len(covered))] + beside, settings))
    return Scene(
        background=background,
        camera=corner + drift,
        drift=drift,
        cutouts=tuple(Cutout(_cut_out(rng, picture, settings), each) for each in ways),
        moving=tuple(range(settings.num_distractors, settings.num_distractors + len(named))),
    )


def render_scene(scene: Scene, *, size: int) -> UInt8[np.ndarray, "T H W 3"]:
    """Render a scene.

    Args:
        scene: The scene; cut-outs may leave the frame.
        size: Height and width of a frame.

    Returns:
        RGB frames in the order of the scene's path.
    """
    frames = []
    border = max(cutout.picture.shape[0] for cutout in scene.cutouts) + 1
    for number, (picture, corner) in enumerate(zip(scene.background, scene.camera, strict=True)):
        left, top = np.floor(corner).astype(int)
        seen = _between(picture.astype(np.float32), top, left, size, *(corner - (left, top)))
        canvas = np.pad(seen, ((border, border), (border, border), (0, 0)))
        for cutout in scene.cutouts:
            half = cutout.picture.shape[0] / 2.0
            place = cutout.way[number] - scene.drift[number] - half
            if not np.all((place > 1 - border) & (place < size)):  # outside, or NaN
                continue
            _paint(canvas, cutout.picture, place + border)
        frames.append(canvas[border:-border, border:-border])
    return np.clip(np.stack(frames) + 0.5, 0.0, 255.0).astype(np.uint8)


def _spans(num_motions: int) -> list[tuple[float, float]]:
    """Return when each motion begins and ends, as shares of the clip.

    A single motion takes the whole clip. Two of 33 frames are so far from each other, and from the
    ends, that of 20 sampled frames none has both, or one and an end of the clip, within two frames.
    """
    return [(0.0, 1.0)] if num_motions == 1 else [(7 / 32, 12 / 32), (20 / 32, 25 / 32)]


def _progress(
    rng: Generator, num_frames: int, span: tuple[float, float] = (0.0, 1.0)
) -> Float[np.ndarray, " T"]:
    """Rise from -1/2 to 1/2 during a span of the clip, faster or slower in the middle.

    NaN outside the span.
    """
    start, end = span
    time = (np.linspace(0.0, 1.0, num_frames) - start) / (end - start)
    time[(time < 0.0) | (time > 1.0)] = np.nan
    return time - 0.5 + rng.uniform(-0.5, 0.5) * np.sin(2.0 * math.pi * time) / (2.0 * math.pi)


def _drift(rng: Generator, settings: CutoutSettings) -> Way:
    """Return a camera path along a line through its mean position."""
    along = rng.uniform(*settings.drift) * _progress(rng, settings.num_frames)
    heading = rng.uniform(0.0, 2.0 * math.pi)
    return along[:, None] * np.array([math.cos(heading), math.sin(heading)])


def _slide(
    rng: Generator,
    axis: int,
    amplitude: float,
    span: tuple[float, float],
    settings: CutoutSettings,
) -> Way:
    """Return a path along an axis towards lower values, anywhere in the frame; NaN when hidden."""
    room = np.full(2, settings.size / 2.0 - settings.radius[0])
    room[axis] = max(room[axis] - amplitude / 2.0, 0.0)
    middle = settings.size / 2.0 + rng.uniform(-1.0, 1.0, 2) * room
    way = np.tile(middle, (settings.num_frames, 1))
    progress = _progress(rng, settings.num_frames, span)
    way[:, axis] -= amplitude * progress
    return np.where(np.isnan(progress)[:, None], np.nan, way)


def _jitter(rng: Generator, place: Float[np.ndarray, "2"], settings: CutoutSettings) -> Way:
    """Return a path that oscillates around a point, along both axes and at several frequencies."""
    time = np.linspace(0.0, 2.0 * math.pi, settings.num_frames)[:, None]
    reach = rng.uniform(*settings.jitter, 2)
    turns, phases = rng.uniform(1.0, 4.0, (2, 2)), rng.uniform(0.0, 2.0 * math.pi, (2, 2))
    waves = [np.sin(turns[wave] * time + phases[wave]) for wave in range(2)]
    return place + reach * (waves[0] + waves[1]) / 2.0


def _cut_out(
    rng: Generator, picture: UInt8[np.ndarray, "H W 3"], settings: CutoutSettings
) -> Float[np.ndarray, "S S 4"]:
    """Cut a piece with a smooth outline out of a frame."""
    radius = rng.uniform(*settings.radius)
    side = 2 * math.ceil(1.4 * radius) + 2
    grid = np.arange(side) - (side - 1) / 2.0
    angle = np.arctan2(grid[:, None], grid[None, :])
    outline = np.ones_like(angle)
    for waves in (2, 3, 4):
        outline += rng.uniform(0.0, 0.13) * np.cos(waves * angle + rng.uniform(0.0, 2.0 * math.pi))
    distance = np.hypot(grid[:, None], grid[None, :]) - radius * outline
    cover = np.clip(0.5 - distance, 0.0, 1.0)[..., None]
    top, left = (int(rng.integers(length - side + 1)) for length in picture.shape[:2])
    piece = picture[top : top + side, left : left + side].astype(np.float64)
    return np.concatenate([piece * cover, cover], axis=-1)


def _paint(
    canvas: Float[np.ndarray, "H W 3"],
    picture: Float[np.ndarray, "S S 4"],
    place: Float[np.ndarray, "2"],
) -> None:
    """Draw a cut-out onto a canvas, with its upper left corner at any subpixel position."""
    left, top = np.floor(place).astype(int)
    side = picture.shape[0] + 1
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)))
    right, down = 1.0 - (place - (left, top))
    layer = _between(padded, 0, 0, side, right, down)
    below = canvas[top : top + side, left : left + side]
    below += layer[..., :3] - layer[..., 3:] * below


def _between(
    picture: Float[np.ndarray, "H W C"], top: int, left: int, size: int, right: float, down: float
) -> Float[np.ndarray, "size size C"]:
    """Read a square at a subpixel offset to the right and down, with bilinear interpolation."""
    cut = picture[top : top + size + 1, left : left + size + 1]
    rows = cut[:-1] + down * (cut[1:] - cut[:-1])
    return rows[:, :-1] + right * (rows[:, 1:] - rows[:, :-1])
