"""Still images of the demo's objects, with labels that a single image can answer.

No image belongs to a clip, so nothing about the direction of a motion can be learned from them.

Dimensions:
    N: images
    P: patches per image
    H, W: pixels
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from pks4_lightning.demo.motion.render import (
    COLOUR_NAMES,
    SHAPE_NAMES,
    Scene,
    draw_background,
    draw_sprite,
    render_scene,
    scene_cover,
)

__all__ = ["NUM_PLACES", "Stills", "draw_stills"]

NUM_PLACES = 4
"""Numbers that give the objects' positions: x, y, size and separation."""
_CANVAS = 80
"""Side in pixels, as for clips; the backbone gets a smaller copy."""
_SMALLEST, _LARGEST = 4.0, 30.0
_CLOSEST, _FARTHEST = 12.0, 64.0


@dataclass(frozen=True, eq=False)
class Stills:
    """Images of one or two objects, with labels."""

    picture: UInt8[Tensor, "N 3 H W"]
    is_pair: Float[Tensor, " N"]
    """1 for two objects, 0 for one."""
    place: Float[Tensor, "N 4"]
    """x and y of the middle, log of the mean radius, and separation; each scaled to 0 to 1."""
    axis: Float[Tensor, "N 2"]
    """Cosine and sine of twice the angle of the line through the two objects."""
    shape: Float[Tensor, "N shapes"]
    """1 for each shape in the image."""
    colour: Float[Tensor, "N colours"]
    """1 for each colour in the image."""
    cover: Float[Tensor, "N P"]
    """Share of each patch covered by objects."""
    offset: Float[Tensor, "N P 2"]
    """From each patch's middle to the nearest object's centre, right and down, in image sides."""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.picture)

    @classmethod
    def join(cls, parts: "list[Stills]") -> "Stills":
        """Concatenate images.

        Args:
            parts: At least one.

        Returns:
            All images, in order.
        """
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def select(self, index: Int[Tensor, " M"]) -> "Stills":
        """Select images.

        Args:
            index: Their numbers.

        Returns:
            Images and labels in the order of the index.
        """
        return Stills(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def draw_stills(num: int, *, seed: int, image_size: int, patch_size: int) -> Iterator[Stills]:
    """Draw images of any size and position, half of them with one object and half with two.

    Args:
        num: Number of images.
        seed: Each image has its own generator, made of this seed and the image's number.
        image_size: Side of the images in pixels, at most 80.
        patch_size: Side of a patch in pixels; divides the image's side.

    Yields:
        One image at a time, so that progress can be shown.
    """
    for number in range(num):
        key = np.array([seed, number], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        scene = _draw(rng, is_pair=number % 2 == 1)
        yield _answer(scene, image_size=image_size, grid=image_size // patch_size)


def _draw(rng: np.random.Generator, *, is_pair: bool) -> Scene:
    """Place one object anywhere, or two around a point near the middle."""
    background = draw_background(rng, _CANVAS)
    if not is_pair:
        radius = math.exp(rng.uniform(math.log(_SMALLEST), math.log(_LARGEST)))
        x, y = rng.uniform(6.0, _CANVAS - 6.0, 2)
        return Scene(background, (draw_sprite(rng, **_still(x, y, radius)),))
    middle = _CANVAS / 2 + rng.uniform(-12.0, 12.0, 2)
    half, heading = rng.uniform(_CLOSEST, _FARTHEST) / 2.0, rng.uniform(0.0, 2.0 * math.pi)
    step = half * np.array([math.cos(heading), math.sin(heading)])
    sprites = []
    for side in (-1.0, 1.0):
        x, y = middle + side * step
        sprites.append(draw_sprite(rng, **_still(x, y, rng.uniform(_SMALLEST, 11.0))))
    return Scene(background, tuple(sprites))


def _still(x: float, y: float, radius: float) -> dict[str, Float[np.ndarray, "1"]]:
    """Make a path of a single frame."""
    return {"x": np.array([x]), "y": np.array([y]), "radius": np.array([radius])}


def _answer(scene: Scene, *, image_size: int, grid: int) -> Stills:
    """Render a scene and return its labels."""
    centres = np.array([[sprite.x[0], sprite.y[0]] for sprite in scene.sprites]) / _CANVAS
    radius = float(np.mean([sprite.radius[0] for sprite in scene.sprites]))
    across = centres[-1] - centres[0]
    separation = float(np.hypot(*across)) * _CANVAS
    angle = 2.0 * math.atan2(across[1], across[0])
    is_pair = len(scene.sprites) == 2
    place = [
        *centres.mean(axis=0),
        math.log(radius / _SMALLEST) / math.log(_LARGEST / _SMALLEST),
        (separation - _CLOSEST) / (_FARTHEST - _CLOSEST) if is_pair else 0.0,
    ]
    patch = (np.arange(grid) + 0.5) / grid
    patches = np.stack(np.meshgrid(patch, patch), axis=-1).reshape(-1, 1, 2)
    to_centres = centres - patches
    nearest = np.hypot(to_centres[..., 0], to_centres[..., 1]).argmin(axis=1)
    cover = _resize(torch.from_numpy(scene_cover(scene))[None], grid)
    frames = torch.from_numpy(render_scene(scene)).permute(0, 3, 1, 2)
    return Stills(
        picture=_resize(frames.float(), image_size).round().clamp(0, 255).byte(),
        is_pair=torch.tensor([float(is_pair)]),
        place=torch.tensor([place], dtype=torch.float32).clamp(0.0, 1.0),
        axis=torch.tensor([[math.cos(angle), math.sin(angle)]]),
        shape=_present([sprite.shape for sprite in scene.sprites], len(SHAPE_NAMES)),
        colour=_present([sprite.colour for sprite in scene.sprites], len(COLOUR_NAMES)),
        cover=cover.float().reshape(1, -1),
        offset=torch.from_numpy(to_centres[np.arange(grid * grid), nearest]).float()[None],
    )


def _present(indices: list[int], num: int) -> Float[Tensor, "1 choices"]:
    """Return 1 for the choices that occur."""
    return F.one_hot(torch.tensor(indices), num).amax(dim=0, keepdim=True).float()


def _resize(
    picture: Float[Tensor, "N C height width"], side: int
) -> Float[Tensor, "N C side side"]:
    """Shrink by averaging."""
    return F.interpolate(picture, size=(side, side), mode="bilinear", antialias=True)
