"""Log figures with any of the supported loggers."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from matplotlib.figure import Figure

__all__ = ["log_figure", "takes_figures"]


def takes_figures(logger: Any) -> bool:
    """Return whether :func:`log_figure` supports a logger."""
    known = isinstance(logger, TensorBoardLogger | MLFlowLogger)
    return known or hasattr(logger, "log_image") or hasattr(logger, "log_figure")


def log_figure(loggers: Sequence[Logger], name: str, figure: Figure, step: int) -> None:
    """Log a figure with every logger that supports figures.

    These are TensorBoard, Weights & Biases (and others with ``log_image(key, images, step)``),
    MLflow, and any logger with a method ``log_figure(name, figure, step)``.

    Args:
        loggers: The loggers of the run. Call it on the first rank only.
        name: Name of the figure, such as ``val/confusion``.
        figure: The figure.
        step: Number of optimiser steps so far.
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
