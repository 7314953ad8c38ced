"""The Lightning side: task, optimisation, metrics, callbacks."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.training.checkpoints.reading import read_checkpoint
    from pks4_lightning.training.learning.recipe import Recipe
    from pks4_lightning.training.scoring.predictions import Label, Prediction
    from pks4_lightning.training.scoring.view_aggregation import VideoScores, score_videos
    from pks4_lightning.training.scoring.view_scores import ViewScores
    from pks4_lightning.training.task import VideoClassificationTask
    from pks4_lightning.training.task_callback import TaskCallback
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Label",
    "Prediction",
    "Recipe",
    "TaskCallback",
    "VideoClassificationTask",
    "VideoScores",
    "ViewScores",
    "read_checkpoint",
    "score_videos",
]
