"""How long and how large the clips of a data module are: as configured, fitted, or drawn."""

import logging
from dataclasses import dataclass, replace

from pks4_lightning.data.clips.flexible import FlexibleScales, ScaleDraws, scaled_resize
from pks4_lightning.data.counts import check_counts
from pks4_lightning.data.video.frame_source import Resize

__all__ = ["ClipScales"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClipScales:
    """The scale of validation and test clips, and what that of training clips is drawn from.

    Args:
        num_frames: Frames per clip.
        frame_size: Side of the square that the model sees, in pixels.
        resize: Scaling of the frames before they are cropped: the length of the shorter side, or
            height and width, in pixels.
        flexible: What training clips draw.
        seed: Seed of the draws.
        patch_size: Side of the model's own patches, in pixels; 1 while no model is known.
        grid_size: Rows and columns of patches where the model fixes them.

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
        check_counts(num_frames=self.num_frames, frame_size=self.frame_size)
        smallest = self.resize if isinstance(self.resize, int) else min(self.resize)
        if smallest < self.frame_size:
            raise ValueError(
                f"data.resize is {self.resize}, smaller than data.frame_size {self.frame_size}; "
                "crops of that size do not fit."
            )

    def matched(self, *, patch_size: int, grid_size: int | None) -> "ClipScales":
        """Return scales whose frames a model can cut into patches.

        With a fixed grid the nearest size to ``frame_size`` that it divides is taken. Sizes that
        training draws from are never changed.

        Args:
            patch_size: Side of the model's own patches, in pixels.
            grid_size: Rows and columns of patches of every frame; ``None`` where they have the
                model's own size.

        Raises:
            ValueError: If frames of some size cannot be cut so.
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
                "Frames are taken at %d pixels instead of %d, so that %d x %d patches cover them.",
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
        """Return what training clips are drawn from, or ``None`` where all have one scale.

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
        """The most frames that a training clip may have, and the largest side of a frame."""
        lengths = self.flexible.num_frames or [self.num_frames]
        return max(lengths), max(self.flexible.frame_sizes or [self.frame_size])
