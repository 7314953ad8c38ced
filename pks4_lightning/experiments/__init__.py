"""Run sets of trainings and tests, and tabulate the results."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.experiments.comparison import Estimate, compare, comparison_table, estimate
    from pks4_lightning.experiments.cross_validation import Runs, cross_validate
    from pks4_lightning.experiments.folds import GroupedClip, grouped_folds, read_clips
    from pks4_lightning.experiments.plan import Arm, Fold, Trial, plan_trials
    from pks4_lightning.experiments.results import Result, read_results, results_table, summarise
    from pks4_lightning.experiments.runner import run_trials
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Arm",
    "Estimate",
    "Fold",
    "GroupedClip",
    "Result",
    "Runs",
    "Trial",
    "compare",
    "comparison_table",
    "cross_validate",
    "estimate",
    "grouped_folds",
    "plan_trials",
    "read_clips",
    "read_results",
    "results_table",
    "run_trials",
    "summarise",
]
