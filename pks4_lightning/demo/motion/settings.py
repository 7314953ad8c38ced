"""Settings of the motion data set's clips: the demo's, and those of a harder data set."""

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["HARD", "MOTION_NAMES", "Clutter", "MotionName", "MotionSettings"]

MotionName = Literal["left_right", "up_down", "towards_away", "closer_apart", "turning", "covering"]
MOTION_NAMES: tuple[MotionName, ...] = get_args(MotionName)


@dataclass(frozen=True)
class Clutter:
    """Camera motion and resting objects, which are unrelated to the clip's class.

    The camera moves evenly along a line in any direction, so everything moves on the screen; the
    motion that the class is named after is relative to the background and the objects at rest.
    """

    drift: tuple[float, float]
    """Length of the camera's path over the clip, in pixels."""
    num_bystanders: int
    """Number of objects at rest. They look like the moving ones and lie behind them."""


@dataclass(frozen=True)
class MotionSettings:
    """Appearance of the clips; lengths are in pixels, and ranges are drawn from uniformly.

    With the defaults, the two classes of a pair are hard to tell apart from one frame, and the pair
    is easy to recognise from a set of frames: long slides, nearly grey backgrounds, nothing else
    that moves.
    """

    size: int = 80
    """Height and width of a frame; even, because the codec halves the colour planes."""
    num_frames: int = 24
    frames_per_second: int = 12
    motions: tuple[MotionName, ...] = ("left_right", "up_down", "towards_away", "closer_apart")
    """Pairs in label order: pair ``p`` has the labels ``2 p`` and ``2 p + 1``."""
    slide: tuple[float, float] = (36.0, 48.0)
    """Length of a slide, including that of a covering object."""
    off_centre: float = 5.0
    """Largest distance between the middle of a path and that of the frame, along each axis."""
    radius: tuple[float, float] = (9.0, 14.0)
    small_radius: tuple[float, float] = (5.0, 8.0)
    """Radius at the far end of a motion in depth, and of each of two objects."""
    large_radius: tuple[float, float] = (19.0, 25.0)
    """Radius at the near end of a motion in depth."""
    near_separation: tuple[float, float] = (16.0, 22.0)
    far_separation: tuple[float, float] = (46.0, 56.0)
    turn_degrees: tuple[float, float] = (80.0, 150.0)
    clutter: Clutter | None = None
    """Camera motion and other objects. ``None``: only the named objects, and a camera at rest."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be rendered or encoded.

        Raises:
            ValueError: If the frame size, the number of frames or the motions are invalid.
        """
        if self.size < 16 or self.size % 2:
            raise ValueError(f"size ({self.size}) must be an even number of at least 16 pixels.")
        if self.num_frames < 2:
            raise ValueError(f"num_frames ({self.num_frames}) must be at least 2 to show a motion.")
        unknown = [name for name in self.motions if name not in MOTION_NAMES]
        if unknown or not self.motions or len(set(self.motions)) < len(self.motions):
            raise ValueError(
                f"motions ({self.motions}) must be one or more different names "
                f"out of {MOTION_NAMES}."
            )


HARD = MotionSettings(
    num_frames=16,
    frames_per_second=8,
    motions=MOTION_NAMES,
    slide=(30.0, 42.0),
    off_centre=8.0,
    large_radius=(16.0, 22.0),
    far_separation=(40.0, 50.0),
    turn_degrees=(60.0, 120.0),
    clutter=Clutter(drift=(3.0, 10.0), num_bystanders=1),
)
"""The harder data set: all pairs, smaller motions, a moving camera and an object at rest."""
