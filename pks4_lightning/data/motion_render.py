"""Scenes of textured shapes in motion, and their pixels.

A scene is one path through time. Its two classes are the path and the path played backwards, so
one frame, or a set of frames without their order, says nothing about which of the two it is.

Dimensions:
    T: frames
    H, W: pixels
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = [
    "COLOUR_NAMES",
    "MOTIONS",
    "SHAPE_NAMES",
    "MotionName",
    "MotionPair",
    "MotionSettings",
    "Scene",
    "Sprite",
    "draw_background",
    "draw_scene",
    "draw_sprite",
    "render_scene",
    "scene_cover",
]

MotionName = Literal["left_right", "up_down", "towards_away", "closer_apart", "turning", "covering"]

SHAPE_NAMES = ("disc", "square", "triangle", "ring", "cross")
COLOUR_NAMES = ("red", "yellow", "green", "blue", "purple")
_HUES = (0.0, 0.14, 0.34, 0.58, 0.79)


@dataclass(frozen=True)
class MotionSettings:
    """What the clips look like; all lengths in pixels, all ranges drawn from uniformly.

    The defaults keep the two classes of a pair hard for one frame and the pair itself easy for a
    set of frames: long slides, near-grey backgrounds, nothing else that moves.
    """

    size: int = 80
    """Height and width of a frame; even, because the codec halves the colour planes."""
    num_frames: int = 24
    frames_per_second: int = 12
    motions: tuple[MotionName, ...] = ("left_right", "up_down", "towards_away", "closer_apart")
    """Pairs in label order: pair ``p`` has the labels ``2 p`` and ``2 p + 1``."""
    slide: tuple[float, float] = (36.0, 48.0)
    """Length of a slide, a covering move included."""
    off_centre: float = 5.0
    """Largest distance of a path's middle from the picture's, along each axis."""
    radius: tuple[float, float] = (9.0, 14.0)
    small_radius: tuple[float, float] = (5.0, 8.0)
    """Radius at the far end of a move in depth, and of each of two objects."""
    large_radius: tuple[float, float] = (19.0, 25.0)
    """Radius at the near end of a move in depth."""
    near_separation: tuple[float, float] = (16.0, 22.0)
    far_separation: tuple[float, float] = (46.0, 56.0)
    turn_degrees: tuple[float, float] = (80.0, 150.0)

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered or encoded.

        Raises:
            ValueError: If the frame size, the number of frames or the motions make no data set.
        """
        if self.size < 16 or self.size % 2:
            raise ValueError(f"size ({self.size}) must be an even number of at least 16 pixels.")
        if self.num_frames < 2:
            raise ValueError(f"num_frames ({self.num_frames}) must be at least 2 to show a motion.")
        unknown = [name for name in self.motions if name not in MOTIONS]
        if unknown or not self.motions or len(set(self.motions)) < len(self.motions):
            raise ValueError(
                f"motions ({self.motions}) must be one or more different names "
                f"out of {tuple(MOTIONS)}."
            )


@dataclass(frozen=True, eq=False)
class Sprite:
    """One textured object along its path."""

    shape: int
    """Index into :data:`SHAPE_NAMES`."""
    colour: int
    """Index into :data:`COLOUR_NAMES`."""
    rgb: Float[np.ndarray, "3"]
    """Mean colour, 0 to 1."""
    texture: tuple[float, float, float, float]
    """Waves per radius along the two own axes, phase, and contrast as a share of the colour."""
    x: Float[np.ndarray, " T"]
    y: Float[np.ndarray, " T"]
    radius: Float[np.ndarray, " T"]
    angle: Float[np.ndarray, " T"]
    """Clockwise on the screen, in radians."""

    @property
    def name(self) -> str:
        """Colour and shape, as a person would say it."""
        return f"{COLOUR_NAMES[self.colour]} {SHAPE_NAMES[self.shape]}"


@dataclass(frozen=True, eq=False)
class Scene:
    """A background and the objects before it, later ones in front."""

    background: Float[np.ndarray, "H W 3"]
    sprites: tuple[Sprite, ...]


Path = Float[np.ndarray, " T"]
Plane = NDArray[np.floating[Any]]


def draw_background(rng: Generator, size: int) -> Float[np.ndarray, "H W 3"]:
    """Draw soft, near-grey blotches of random brightness.

    Args:
        rng: Source of the draws.
        size: Height and width in pixels.

    Returns:
        Colours, 0 to 1.
    """
    num_blotches = int(rng.integers(3, 9))
    coarse = rng.normal(0.0, 0.06, (num_blotches, num_blotches, 1))
    tint = rng.normal(0.0, 0.02, (num_blotches, num_blotches, 3))
    position = np.linspace(0.0, num_blotches - 1.0, size)
    weight = np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(num_blotches)))
    field = np.einsum("hi,wj,ijc->hwc", weight, weight, coarse + tint, optimize=True)
    return np.clip(rng.uniform(0.35, 0.65) + field, 0.0, 1.0)


def draw_sprite(
    rng: Generator, *, x: Path, y: Path, radius: Path, angle: Path | None = None
) -> Sprite:
    """Draw shape, colour and texture for an object on a given path.

    Args:
        rng: Source of the draws.
        x: Centre to the right of the picture's left edge, per frame.
        y: Centre below the picture's upper edge, per frame.
        radius: Half the object's extent, per frame.
        angle: Turn against the drawn orientation, per frame. ``None`` keeps the orientation.

    Returns:
        The object. Every draw is made whatever the path, so equal generators give equal looks.
    """
    shape = int(rng.integers(len(SHAPE_NAMES)))
    colour = int(rng.integers(len(COLOUR_NAMES)))
    hue = _HUES[colour] + rng.uniform(-0.03, 0.03)
    texture = (rng.uniform(0.5, 1.6), rng.uniform(0.0, 1.6), rng.uniform(0.0, 1.0), 0.35)
    orientation = rng.uniform(0.0, 2.0 * math.pi)
    rgb = _rgb(hue, saturation=rng.uniform(0.7, 1.0), value=rng.uniform(0.7, 1.0))
    turn = np.zeros_like(x) if angle is None else angle
    return Sprite(
        shape=shape,
        colour=colour,
        rgb=rgb,
        texture=texture,
        x=x,
        y=y,
        radius=radius,
        angle=orientation + turn,
    )


def draw_scene(motion: MotionName, rng: Generator, settings: MotionSettings) -> Scene:
    """Draw a scene of one pair of classes, in the first class's direction of time.

    Args:
        motion: The pair.
        rng: Source of all draws. It never learns which of the pair's classes is wanted.
        settings: Frame size, length and ranges.

    Returns:
        The scene; its frames in reverse order belong to the pair's second class.
    """
    background = draw_background(rng, settings.size)
    return Scene(background=background, sprites=MOTIONS[motion].draw(rng, settings))


def render_scene(scene: Scene) -> UInt8[np.ndarray, "T H W 3"]:
    """Paint a scene.

    Args:
        scene: Objects may leave the picture.

    Returns:
        RGB frames in the order of the scene's path.
    """
    num_frames = len(scene.sprites[0].x)
    frames = np.repeat(scene.background[None].astype(np.float32), num_frames, axis=0)
    for sprite in scene.sprites:
        u, v, cover = _place(sprite, size=scene.background.shape[0])
        u_waves, v_waves, phase, contrast = sprite.texture
        wave = np.sin(2.0 * math.pi * (u_waves * u + v_waves * v + phase))
        shade = 1.0 + contrast * (0.5 * wave - 0.5)
        paint = shade[..., None] * sprite.rgb.astype(np.float32)
        frames += cover[..., None] * (paint - frames)
    return np.clip(frames * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)


def scene_cover(scene: Scene) -> Float[np.ndarray, "T H W"]:
    """Tell how much of each pixel is object rather than background.

    Args:
        scene: Objects may leave the picture.

    Returns:
        Shares, 0 to 1, in the order of the scene's path.
    """
    size = scene.background.shape[0]
    return np.maximum.reduce([_place(sprite, size=size)[2] for sprite in scene.sprites])


def _place(sprite: Sprite, *, size: int) -> tuple[Plane, Plane, Plane]:
    """Return every pixel's place in the object's own axes, in radii, and its share covered."""
    grid = np.arange(size, dtype=np.float32) + 0.5
    right = grid[None, None, :] - sprite.x.astype(np.float32)[:, None, None]
    below = grid[None, :, None] - sprite.y.astype(np.float32)[:, None, None]
    radius = sprite.radius.astype(np.float32)[:, None, None]
    cos = np.cos(sprite.angle).astype(np.float32)[:, None, None] / radius
    sin = np.sin(sprite.angle).astype(np.float32)[:, None, None] / radius
    u, v = cos * right + sin * below, cos * below - sin * right
    cover = np.clip(0.5 - _OUTLINES[SHAPE_NAMES[sprite.shape]](u, v) * radius, 0.0, 1.0)
    return u, v, cover


def _rgb(hue: float, *, saturation: float, value: float) -> Float[np.ndarray, "3"]:
    """Convert one HSV colour, all channels 0 to 1."""
    ramp = np.abs((hue + np.array([0.0, 2.0 / 3.0, 1.0 / 3.0])) % 1.0 * 6.0 - 3.0) - 1.0
    return value * (1.0 - saturation + saturation * np.clip(ramp, 0.0, 1.0))


# Distance to the outline in radii, negative inside.
_OUTLINES: dict[str, Callable[[Plane, Plane], Plane]] = {
    "disc": lambda u, v: np.hypot(u, v) - 1.0,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) - 0.85,
    "triangle": lambda u, v: np.maximum(0.866 * np.abs(u) + 0.5 * v, -v) - 0.55,
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.75) - 0.3,
    "cross": lambda u, v: np.minimum(
        np.maximum(np.abs(u) - 1.0, np.abs(v) - 0.36),
        np.maximum(np.abs(u) - 0.36, np.abs(v) - 1.0),
    ),
}


def _progress(rng: Generator, settings: MotionSettings) -> Path:
    """Rise from 0 to 1 over the clip at a speed that swells or ebbs in the middle."""
    time = np.linspace(0.0, 1.0, settings.num_frames)
    return time + rng.uniform(-0.5, 0.5) * np.sin(2.0 * math.pi * time) / (2.0 * math.pi)


def _middle(rng: Generator, settings: MotionSettings) -> tuple[float, float]:
    """Draw a place near the picture's centre."""
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
    """Let one object grow where it stands."""
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
    """Turn one object on the spot; its stripes turn with it."""
    x, y = _middle(rng, settings)
    angle = np.radians(rng.uniform(*settings.turn_degrees)) * _progress(rng, settings)
    still = np.zeros_like(angle)
    radius = still + rng.uniform(*settings.large_radius)
    return (draw_sprite(rng, x=x + still, y=y + still, radius=radius, angle=angle),)


def _covering(rng: Generator, settings: MotionSettings) -> tuple[Sprite, ...]:
    """Slide a larger object over a smaller one that rests."""
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


@dataclass(frozen=True)
class MotionPair:
    """Two classes that are each other's time reversal."""

    templates: tuple[str, str]
    """Something-Something's way of naming a class: brackets where an object's name belongs."""
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
