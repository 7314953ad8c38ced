"""What the motion bench's clips look like."""

from dataclasses import dataclass

__all__ = ["LABELS", "CutoutSettings"]

LABELS = ("left", "right", "up", "down")
"""Classes in label order; two neighbours are each other's time reversal."""


@dataclass(frozen=True)
class CutoutSettings:
    """What the clips look like; all lengths in pixels, all ranges drawn from uniformly."""

    size: int = 96
    """Height and width of a frame; even, because the codec halves the colour planes."""
    num_frames: int = 17
    """Odd: the middle frames of equal segments are then the same frames in both directions."""
    frames_per_second: int = 12
    amplitudes: tuple[int, ...] = (16, 32, 48, 64)
    """Lengths of the way that the named object goes against the background; all equally often."""
    radius: tuple[float, float] = (12.0, 18.0)
    """Of a cut-out."""
    drift: tuple[float, float] = (0.0, 8.0)
    """Length of the camera's way over the clip, along a line of any direction."""
    num_distractors: int = 1
    """Cut-outs that jitter on the spot, behind the named object."""
    jitter: tuple[float, float] = (1.0, 4.0)
    """How far they go, in each direction."""
    occlusion: float = 0.3
    """Share of the clips in which another one jitters in front of the named object's way."""

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered or encoded.

        Raises:
            ValueError: If the frame size, the number of frames or the amplitudes make no clips.
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
