"""How long and how large the clips of a data module are: as configured, fitted, or drawn."""

import logging

from pks4_lightning.data.clips.flexible import FlexibleScales, ScaleDraws, scaled_resize
from pks4_lightning.data.video.frame_source import Resize

__all__ = ["FrameSizes"]

logger = logging.getLogger(__name__)


class FrameSizes:
    """The part of the data module that settles the scales of clips."""

    num_frames: int
    frame_size: int
    resize: Resize
    flexible: FlexibleScales
    batch_size: int
    seed: int
    _patch_size: int = 1
    _grid_size: int | None = None

    def match_patches(self, *, patch_size: int, grid_size: int | None) -> None:
        """Settle on frames that a model can cut into patches; call it before loaders are made.

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
                nearest,
                self.frame_size,
                unit,
                unit,
            )
            self.resize = scaled_resize(self.resize, old=self.frame_size, new=nearest)
            self.frame_size = nearest
        self._patch_size, self._grid_size = patch_size, grid_size
        self.scale_draws()

    def mean_draws(self) -> dict[str, float]:
        """Return what the draws of training clips come to on average; nothing without draws."""
        draws = self.scale_draws()
        return {} if draws is None else draws.means(self.batch_size)

    def scale_draws(self) -> ScaleDraws | None:
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
            patch_size=self._patch_size,
            grid_size=self._grid_size,
            seed=self.seed,
        )
