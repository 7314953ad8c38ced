"""Callbacks that monitor a training and write its results."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.training.callbacks.failure_record import FailureRecord
    from pks4_lightning.training.callbacks.finite_guard import FiniteGuard, NotFiniteError
    from pks4_lightning.training.callbacks.last_checkpoint import LastCheckpoint
    from pks4_lightning.training.callbacks.line_progress import LineProgress
    from pks4_lightning.training.callbacks.memory_advice import MemoryAdvice
    from pks4_lightning.training.callbacks.prediction_writer import PredictionWriter
    from pks4_lightning.training.callbacks.preemption import Preemption
    from pks4_lightning.training.callbacks.report_writer import ReportWriter
    from pks4_lightning.training.callbacks.run_cost import RunCost
    from pks4_lightning.training.callbacks.run_summary import RunSummary
    from pks4_lightning.training.callbacks.validation_pictures import ValidationPictures
    from pks4_lightning.training.callbacks.watchdog import Watchdog
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "FailureRecord",
    "FiniteGuard",
    "LastCheckpoint",
    "LineProgress",
    "MemoryAdvice",
    "NotFiniteError",
    "PredictionWriter",
    "Preemption",
    "ReportWriter",
    "RunCost",
    "RunSummary",
    "ValidationPictures",
    "Watchdog",
]
