"""Scenes of moving textured shapes, and their rendering.

A scene is one path through time. Its two classes are the path and the path played backwards, so
neither one frame nor the set of frames without their order tells the two apart.

Dimensions:
    T: frames
    H, W: pixels
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator
from numpy.typing import NDArray

__all__ = [
    "COLOUR_NAMES",
    "SHAPE_NAMES",
    "Scene",
    "Sprite",
    "draw_background",
    "draw_sprite",
    "render_scene",
    "scene_cover",
]

SHAPE_NAMES = ("disc", "square", "triangle", "ring", "cross")
COLOUR_NAMES = ("red", "yellow", "green", "blue", "purple")
_HUES = (0.0, 0.14, 0.34, 0.58, 0.79)


@dataclass(frozen=True, eq=False)
class Sprite:
    """A textured object and its path."""

    shape: int
    """Index into :data:`SHAPE_NAMES`."""
    colour: int
    """Index into :data:`COLOUR_NAMES`."""
    rgb: Float[np.ndarray, "3"]
    """Mean colour, 0 to 1."""
    texture: tuple[float, float, float, float]
    """Waves per radius along the object's two axes, phase, and contrast relative to the colour."""
    x: Float[np.ndarray, " T"]
    y: Float[np.ndarray, " T"]
    radius: Float[np.ndarray, " T"]
    angle: Float[np.ndarray, " T"]
    """Clockwise on the screen, in radians."""

    @property
    def name(self) -> str:
        """Return colour and shape in words."""
        return f"{COLOUR_NAMES[self.colour]} {SHAPE_NAMES[self.shape]}"


@dataclass(frozen=True, eq=False)
class Scene:
    """A background and the objects in front, later ones nearer; all in screen coordinates."""

    background: Float[np.ndarray, "H W 3"] | Float[np.ndarray, "T H W 3"]
    """A single image if the camera is at rest."""
    sprites: tuple[Sprite, ...]
    """The objects that the class is named after."""
    bystanders: tuple[Sprite, ...] = ()
    """Other objects, behind all sprites."""


Path = Float[np.ndarray, " T"]
Plane = NDArray[np.floating[Any]]


def draw_background(rng: Generator, size: int) -> Float[np.ndarray, "H W 3"]:
    """Draw soft, nearly grey blotches of random brightness.

    Args:
        rng: Source of random numbers.
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
    """Draw the shape, colour and texture of an object with a given path.

    Args:
        rng: Source of random numbers.
        x: Distance of the centre from the frame's left edge, per frame.
        y: Distance of the centre from the frame's upper edge, per frame.
        radius: Radius of the object, per frame.
        angle: Rotation from the drawn orientation, per frame. ``None`` means no rotation.

    Returns:
        The object. The path does not affect the draws, so equal generators give equal appearances.
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


def render_scene(scene: Scene) -> UInt8[np.ndarray, "T H W 3"]:
    """Render a scene.

    Args:
        scene: The scene; objects may leave the frame.

    Returns:
        RGB frames in the order of the scene's path.
    """
    num_frames = len(scene.sprites[0].x)
    size = scene.background.shape[-2]
    frames = np.empty((num_frames, size, size, 3), dtype=np.float32)
    frames[:] = scene.background
    for sprite in (*scene.bystanders, *scene.sprites):
        u, v, cover = _place(sprite, size=size)
        u_waves, v_waves, phase, contrast = sprite.texture
        wave = np.sin(2.0 * math.pi * (u_waves * u + v_waves * v + phase))
        shade = 1.0 + contrast * (0.5 * wave - 0.5)
        paint = shade[..., None] * sprite.rgb.astype(np.float32)
        frames += cover[..., None] * (paint - frames)
    return np.clip(frames * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)


def scene_cover(scene: Scene) -> Float[np.ndarray, "T H W"]:
    """Return the share of each pixel that is covered by objects.

    Args:
        scene: The scene; objects may leave the frame.

    Returns:
        Shares, 0 to 1, in the order of the scene's path.
    """
    size = scene.background.shape[-2]
    return np.maximum.reduce([_place(sprite, size=size)[2] for sprite in scene.sprites])


def _place(sprite: Sprite, *, size: int) -> tuple[Plane, Plane, Plane]:
    """Return every pixel's position in the object's axes, in radii, and its coverage."""
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


# Signed distance to the outline in radii, negative inside.
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
