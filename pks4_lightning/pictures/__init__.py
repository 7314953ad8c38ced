"""Figures: curves, contact sheets, confusion matrices, timelines, maps."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.pictures.confusion import confusion_matrix_figure
    from pks4_lightning.pictures.curves import learning_curves
    from pks4_lightning.pictures.heat_map import heat_map_figure
    from pks4_lightning.pictures.motion_maps import MotionMaps, motion_figure
    from pks4_lightning.pictures.priors import PriorMaps, prior_figure, prior_maps
    from pks4_lightning.pictures.scaling import scaling_figure
    from pks4_lightning.pictures.trade_offs import sweep_figure, trade_off_figure
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "MotionMaps",
    "PriorMaps",
    "confusion_matrix_figure",
    "heat_map_figure",
    "learning_curves",
    "motion_figure",
    "prior_figure",
    "prior_maps",
    "scaling_figure",
    "sweep_figure",
    "trade_off_figure",
]
