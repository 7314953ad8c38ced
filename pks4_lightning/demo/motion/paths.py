"""The motions that the classes are named after: their objects and the paths of these."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from pks4_lightning.demo.motion.render import Scene, Sprite, draw_background, draw_sprite
from pks4_lightning.demo.motion.settings import Clutter, MotionName, MotionSettings

__all__ = ["MOTIONS", "MotionPair", "draw_scene"]

Path = Float[np.ndarray, " T"]
Way = Float[np.ndarray, "T 2"]
"""Positions to the right and down, in pixels."""


def draw_scene(motion: MotionName, rng: Generator, settings: MotionSettings) -> Scene:
    """Draw a scene of a pair of classes, in the first class's direction of time.

    Args:
        motion: The pair.
        rng: Source of all random numbers. It does not depend on which class of the pair is wanted.
        settings: Frame size, length and ranges.

    Returns:
        The scene; its frames in reverse order belong to the pair's second class.
    """
    if settings.clutter is None:
        background = draw_background(rng, settings.size)
        return Scene(background=background, sprites=MOTIONS[motion].draw(rng, settings))
    margin = math.ceil(settings.clutter.drift[1] / 2.0) + 1
    canvas = draw_background(rng, settings.size + 2 * margin)
    sprites = MOTIONS[motion].draw(rng, settings)
    bystanders = _bystanders(rng, settings, settings.clutter)
    camera = _drift(rng, settings, settings.clutter)
    return Scene(
        background=_film(canvas, camera, margin),
        sprites=tuple(_seen_from(camera, sprite) for sprite in sprites),
        bystanders=tuple(_seen_from(camera, sprite) for sprite in bystanders),
    )


def _progress(rng: Generator, settings: MotionSettings) -> Path:
    """Rise from 0 to 1 over the clip, faster or slower in the middle."""
    time = np.linspace(0.0, 1.0, settings.num_frames)
    return time + rng.uniform(-0.5, 0.5) * np.sin(2.0 * math.pi * time) / (2.0 * math.pi)


def _middle(rng: Generator, settings: MotionSettings) -> tuple[float, float]:
    """Draw a position near the centre of the frame."""
    x, y = settings.size / 2 + rng.uniform(-settings.off_centre, settings.off_centre, 2)
    return float(x), float(y)


def _slide(rng: Generator, settings: MotionSettings, *, step_x: int, step_y: int) -> Sprite:
    """Move one object along an axis."""
    x, y = _middle(rng, settings)
    along = rng.uniform(*settings.slide) * (_progress(rng, settings) - 0.5)
    radius = np.full_like(along, rng.uniform(*settings.radius))
    return draw_sprite(rng, x=x + step_x * along, y=y + step_y * along, radius=radius)


def _left(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    return (_slide(rng, settings, step_x=-1, step_y=0),)


def _up(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    return (_slide(rng, settings, step_x=0, step_y=-1),)


def _towards(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    """Let one object grow in place."""
    x, y = _middle(rng, settings)
    far, near = rng.uniform(*settings.small_radius), rng.uniform(*settings.large_radius)
    radius = far + (near - far) * _progress(rng, settings)
    still = np.zeros_like(radius)
    return (draw_sprite(rng, x=x + still, y=y + still, radius=radius),)


def _closer(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    """Bring two objects together along a line of any orientation."""
    x, y = _middle(rng, settings)
    far, near = rng.uniform(*settings.far_separation), rng.uniform(*settings.near_separation)
    half = (far + (near - far) * _progress(rng, settings)) / 2.0
    heading = rng.uniform(0.0, 2.0 * math.pi)
    sprites = []
    for side in (-1.0, 1.0):
        radius = np.full_like(half, rng.uniform(*settings.small_radius))
        along_x, along_y = side * math.cos(heading) * half, side * math.sin(heading) * half
        sprites.append(draw_sprite(rng, x=x + along_x, y=y + along_y, radius=radius))
    return tuple(sprites)


def _clockwise(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    """Turn one object in place; its stripes turn with it."""
    x, y = _middle(rng, settings)
    angle = np.radians(rng.uniform(*settings.turn_degrees)) * _progress(rng, settings)
    still = np.zeros_like(angle)
    radius = still + rng.uniform(*settings.large_radius)
    return (draw_sprite(rng, x=x + still, y=y + still, radius=radius, angle=angle),)


def _covering(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    """Slide a larger object over a smaller one at rest."""
    x, y = _middle(rng, settings)
    left = rng.uniform(*settings.slide) * (1.0 - _progress(rng, settings))
    heading = rng.uniform(0.0, 2.0 * math.pi)
    still = np.zeros_like(left)
    small = still + rng.uniform(*settings.small_radius)
    large = still + rng.uniform(*settings.radius)
    return (
        draw_sprite(rng, x=x + still, y=y + still, radius=small),
        draw_sprite(
            rng, x=x + math.cos(heading) * left, y=y + math.sin(heading) * left, radius=large
        ),
    )


def _bystanders(rng: Generator, settings: MotionSettings, clutter: Clutter) -> tuple[Sprite, ...]:
    """Place objects anywhere in the frame, for a camera at its mean position."""
    sprites = []
    for _ in range(clutter.num_bystanders):
        x, y = rng.uniform(0.0, settings.size, 2)
        radius = rng.uniform(settings.small_radius[0], settings.radius[1])
        still = np.zeros(settings.num_frames)
        sprites.append(draw_sprite(rng, x=x + still, y=y + still, radius=radius + still))
    return tuple(sprites)


def _drift(rng: Generator, settings: MotionSettings, clutter: Clutter) -> Way:
    """Return a camera path along a line through its mean position, with random constant speed."""
    along = rng.uniform(*clutter.drift) * (_progress(rng, settings) - 0.5)
    heading = rng.uniform(0.0, 2.0 * math.pi)
    return along[:, None] * np.array([math.cos(heading), math.sin(heading)])


def _seen_from(camera: Way, sprite: Sprite) -> Sprite:
    """Return an object's path on the screen."""
    return replace(sprite, x=sprite.x - camera[:, 0], y=sprite.y - camera[:, 1])


def _film(
    canvas: Float[np.ndarray, "height width 3"], camera: Way, margin: int
) -> Float[np.ndarray, "T H W 3"]:
    """Crop a frame from a canvas at each of the camera's positions, with bilinear interpolation."""
    size = canvas.shape[0] - 2 * margin
    frames = []
    for x, y in margin + camera:
        left, top = math.floor(x), math.floor(y)
        cut = canvas[top : top + size + 1, left : left + size + 1]
        rows = cut[:-1] + (y - top) * (cut[1:] - cut[:-1])
        frames.append(rows[:, :-1] + (x - left) * (rows[:, 1:] - rows[:, :-1]))
    return np.stack(frames)


@dataclass(frozen=True)
class MotionPair:
    """Two classes that are each other's time reversal."""

    templates: tuple[str, str]
    """Names in Something-Something's style, with brackets for the objects' names."""
    draw: Callable[[Generator, MotionSettings], tuple[Sprite, ...]]
    """Draws the objects along the first class's path."""


MOTIONS: dict[MotionName, MotionPair] = {
    "left_right": MotionPair(
        ("Sliding [something] to the left", "Sliding [something] to the right"), _left
    ),
    "up_down": MotionPair(("Sliding [something] up", "Sliding [something] down"), _up),
    "towards_away": MotionPair(
        (
            "Moving [something] towards the camera",
            "Moving [something] away from the camera",
        ),
        _towards,
    ),
    "closer_apart": MotionPair(
        (
            "Moving [something] and [something] closer to each other",
            "Moving [something] and [something] away from each other",
        ),
        _closer,
    ),
    "turning": MotionPair(
        ("Turning [something] clockwise", "Turning [something] anticlockwise"), _clockwise
    ),
    "covering": MotionPair(
        ("Covering [something] with [something]", "Uncovering [something] from under [something]"),
        _covering,
    ),
}
