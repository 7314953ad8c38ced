"""Length and frame size of clips: as configured, fitted to the model, or drawn at random."""

import logging
from dataclasses import dataclass, replace

from pks4_lightning.data.clips.flexible import FlexibleScales, ScaleDraws, scaled_resize
from pks4_lightning.data.video.frame_source import Resize
from pks4_lightning.ranges import check_at_least

__all__ = ["ClipScales"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClipScales:
    """The scale of validation and test clips, and the distribution for training clips.

    Args:
        num_frames: Frames per clip.
        frame_size: Side of the square that the model sees, in pixels.
        resize: Size of the frames before cropping: length of the shorter side, or height and width,
            in pixels.
        flexible: Distribution of the scale of training clips.
        seed: Seed of the draws.
        patch_size: Side of the model's own patches, in pixels; 1 while no model is known.
        grid_size: Rows and columns of patches, if the model fixes them.

    Raises:
        ValueError: If a number is not positive, or crops do not fit into the resized frames.
    """

    num_frames: int
    frame_size: int
    resize: Resize
    flexible: FlexibleScales
    seed: int
    patch_size: int = 1
    grid_size: int | None = None

    def __post_init__(self) -> None:
        sizes = {"data.num_frames": self.num_frames, "data.frame_size": self.frame_size}
        check_at_least(1, sizes)
        smallest = self.resize if isinstance(self.resize, int) else min(self.resize)
        if smallest < self.frame_size:
            raise ValueError(
                f"data.resize is {self.resize}, smaller than data.frame_size {self.frame_size}; "
                "crops of that size do not fit."
            )

    def matched(self, *, patch_size: int, grid_size: int | None) -> "ClipScales":
        """Return scales whose frames a model can cut into patches.

        With a fixed grid, ``frame_size`` is rounded to the nearest size that the grid divides. The
        sizes that training draws from are never changed.

        Args:
            patch_size: Side of the model's own patches, in pixels.
            grid_size: Rows and columns of patches of every frame; ``None`` if patches have the
                model's own size.

        Raises:
            ValueError: If frames of some size cannot be cut into patches.
        """
        unit = grid_size or patch_size
        nearest = round(self.frame_size / unit) * unit
        if nearest != self.frame_size and (grid_size is None or nearest == 0):
            raise ValueError(
                f"data.frame_size is {self.frame_size}; the model cuts frames into "
                + (f"{unit} x {unit} patches" if grid_size else f"patches of {unit} pixels")
                + f", so give a multiple of {unit}, such as {max(unit, nearest)}."
            )
        if nearest != self.frame_size:
            logger.info(
                "Frames are resized to %d pixels instead of %d, so that %d x %d patches cover "
                "them.",
                nearest, self.frame_size, unit, unit,
            )  # fmt: skip
        scales = replace(
            self,
            frame_size=nearest,
            resize=scaled_resize(self.resize, old=self.frame_size, new=nearest),
            patch_size=patch_size,
            grid_size=grid_size,
        )
        scales.draws()
        return scales

    def draws(self) -> ScaleDraws | None:
        """Return the draws of training clips, or ``None`` if all have one scale.

        Raises:
            ValueError: If frames of some size cannot be cut into the model's patches.
        """
        if not self.flexible.anything:
            return None
        return ScaleDraws(
            scales=self.flexible,
            num_frames=self.num_frames,
            frame_size=self.frame_size,
            patch_size=self.patch_size,
            grid_size=self.grid_size,
            seed=self.seed,
        )

    @property
    def largest(self) -> tuple[int, int]:
        """Return the largest number of frames and the largest frame size of a training clip."""
        lengths = self.flexible.num_frames or [self.num_frames]
        return max(lengths), max(self.flexible.frame_sizes or [self.frame_size])
