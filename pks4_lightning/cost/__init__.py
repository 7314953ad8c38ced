"""Costs of a classifier: parameters, FLOPs, memory, bytes moved, training compute and speed."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.cost.flops import Flops, count_flops, total_flops
    from pks4_lightning.cost.memory import SavedForBackward, measured_peak, saved_for_backward
    from pks4_lightning.cost.parameters import count_parameters
    from pks4_lightning.cost.report import CostSettings, cost_report
    from pks4_lightning.cost.scaling import crossover, scale_frame_size, scale_num_frames
    from pks4_lightning.cost.traffic import Traffic, count_traffic
    from pks4_lightning.cost.training_compute import training_eflops
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "CostSettings",
    "Flops",
    "SavedForBackward",
    "Traffic",
    "cost_report",
    "count_flops",
    "count_parameters",
    "count_traffic",
    "crossover",
    "measured_peak",
    "saved_for_backward",
    "scale_frame_size",
    "scale_num_frames",
    "total_flops",
    "training_eflops",
]
