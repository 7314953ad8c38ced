"""A logger for Trackio, which Lightning does not provide."""

import io
from argparse import Namespace
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from PIL import Image

__all__ = ["TrackioLogger"]


class TrackioLogger(Logger):
    """Logs metrics and figures with Trackio, which keeps them on this machine.

    ``trackio show`` displays them. Trackio (https://github.com/gradio-app/trackio) writes to the
    folder in the environment variable ``TRACKIO_DIR``.

    Args:
        project: The project that the run belongs to.
        run_name: Name of the run; an existing run is continued. ``null`` creates a new name.
        space_id: A Space of the Hugging Face hub that also shows the run, such as ``me/runs``.

    Raises:
        ValueError: If trackio is not installed.
    """

    def __init__(
        self, project: str = "pks4", run_name: str | None = None, space_id: str | None = None
    ) -> None:
        super().__init__()
        try:
            import trackio
        except ImportError:
            raise ValueError("TrackioLogger needs trackio: pip install trackio.") from None
        self._trackio: Any = trackio
        self._project, self._run_name, self._space_id = project, run_name, space_id
        self._settings: dict[str, Any] = {}
        self._run: Any = None

    @property
    def name(self) -> str:
        """The project."""
        return self._project

    @property
    def version(self) -> str | None:
        """The run."""
        return self._run_name

    @property
    def experiment(self) -> Any:
        """Trackio's run, which starts at first use."""
        if self._run is None:
            resume = "never" if self._run_name is None else "allow"
            self._run = self._trackio.init(
                project=self._project,
                name=self._run_name,
                space_id=self._space_id,
                config=self._settings,
                resume=resume,
            )
            self._run_name = self._run.name
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Store the settings until the run starts.

        Args:
            params: Plain values.
        """
        self._settings |= params if isinstance(params, dict) else vars(params)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log numbers.

        Args:
            metrics: By name.
            step: Number of optimiser steps so far.
        """
        self.experiment.log(metrics, step=step)

    @rank_zero_only
    def log_figure(self, name: str, figure: Figure, step: int) -> None:
        """Log a figure.

        Args:
            name: Name of the figure.
            figure: The figure.
            step: Number of optimiser steps so far.
        """
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        self.experiment.log({name: self._trackio.Image(Image.open(picture))}, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Wait until all data are written, and end the run.

        Args:
            status: Not used.
        """
        if self._run is not None:
            self._run.finish()
            self._run = None
