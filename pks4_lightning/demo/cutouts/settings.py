"""Settings of the motion bench's clips."""

from dataclasses import dataclass

__all__ = ["ONE_MOTION", "TWO_MOTIONS", "ClassPair", "CutoutSettings"]


@dataclass(frozen=True)
class ClassPair:
    """Two classes that are time reversals of each other."""

    names: tuple[str, str]
    axes: tuple[int, ...]
    """Axes along which cut-outs move towards lower values in the first class, one after the other;
    0 is to the left, 1 up."""


@dataclass(frozen=True)
class CutoutSettings:
    """Appearance of the clips; lengths are in pixels, and ranges are drawn from uniformly."""

    pairs: tuple[ClassPair, ...] = (
        ClassPair(("left", "right"), (0,)),
        ClassPair(("up", "down"), (1,)),
    )
    """The classes, in label order."""
    size: int = 96
    """Height and width of a frame; even, because the codec halves the colour planes."""
    num_frames: int = 17
    """Odd, so that the middle frames of equal segments are the same frames in both directions."""
    frames_per_second: int = 12
    amplitudes: tuple[int, ...] = (16, 32, 48, 64)
    """Distances that the named objects move relative to the background; equally frequent."""
    radius: tuple[float, float] = (12.0, 18.0)
    """Radius of a cut-out."""
    drift: tuple[float, float] = (0.0, 8.0)
    """Length of the camera's path over the clip, along a line in any direction."""
    num_distractors: int = 1
    """Number of cut-outs that jitter in place, behind the named objects."""
    jitter: tuple[float, float] = (1.0, 4.0)
    """Amplitude of the jitter in each direction."""
    occlusion: float = 0.3
    """Share of the clips in which another cut-out jitters in front of a named object's path."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; each class and its neighbour are time reversals of each other."""
        return tuple(name for pair in self.pairs for name in pair.names)

    def __post_init__(self) -> None:
        """Refuse settings that cannot be rendered or encoded.

        Raises:
            ValueError: If the frame size, the number of frames or the amplitudes are invalid.
        """
        if self.size < 32 or self.size % 2:
            raise ValueError(f"size ({self.size}) must be an even number of at least 32 pixels.")
        if self.num_frames < 3 or self.num_frames % 2 == 0:
            raise ValueError(f"num_frames ({self.num_frames}) must be odd and at least 3.")
        if not self.amplitudes or not 0 < min(self.amplitudes) <= max(self.amplitudes) < self.size:
            raise ValueError(
                f"amplitudes ({self.amplitudes}) must be one or more lengths between 0 and the "
                f"frame's {self.size} pixels."
            )


ONE_MOTION = CutoutSettings()
"""A single object moves, during the whole clip."""
TWO_MOTIONS = CutoutSettings(
    pairs=(
        ClassPair(("left_up", "down_right"), (0, 1)),
        ClassPair(("up_left", "right_down"), (1, 0)),
    ),
    num_frames=33,
    amplitudes=(24, 32, 40, 48),
    radius=(16.0, 22.0),
    drift=(0.0, 0.0),
    num_distractors=0,
    occlusion=0.0,
)
"""Two objects appear, move and disappear, one after the other. Both pairs of classes have the same
motions, in the opposite order; to tell them apart, a model must remember what has moved. Each
motion is easier to see than in ``ONE_MOTION``, because the order is what is asked for."""
