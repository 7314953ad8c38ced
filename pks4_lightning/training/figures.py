"""Pictures in the logs of whichever logger a run has."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from matplotlib.figure import Figure

__all__ = ["log_figure", "takes_figures"]


def takes_figures(logger: Any) -> bool:
    """Tell whether :func:`log_figure` knows how a logger takes pictures."""
    known = isinstance(logger, TensorBoardLogger | MLFlowLogger)
    return known or hasattr(logger, "log_image") or hasattr(logger, "log_figure")


def log_figure(loggers: Sequence[Logger], name: str, figure: Figure, step: int) -> None:
    """Log a picture with every logger that takes any.

    These are TensorBoard, Weights & Biases (and what has its ``log_image(key, images, step)``),
    MLflow, and any logger with a method ``log_figure(name, figure, step)``.

    Args:
        loggers: Of the run. Call it in the first rank only.
        name: Such as ``val/confusion``.
        figure: The picture.
        step: Optimiser steps so far.
    """
    for logger in loggers:
        log: Any = logger
        if isinstance(logger, TensorBoardLogger):
            log.experiment.add_figure(name, figure, step)
        elif isinstance(logger, MLFlowLogger):
            log.experiment.log_figure(log.run_id, figure, f"{name}/{step:08d}.png")
        elif hasattr(log, "log_figure"):
            log.log_figure(name, figure, step)
        elif hasattr(log, "log_image"):
            log.log_image(name, [figure], step=step)
