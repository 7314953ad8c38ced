"""What ``pks4 ablate`` and ``pks4 compare`` share: the demo's videos unless told, and --print."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pks4_lightning.cli.settings import Settings, resolve
from pks4_lightning.experiments.settings import require_data

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """The settings and the data that all trainings of a command share."""

    base: list[str]
    """Arguments of ``pks4 fit``."""
    settings: Settings
    """What they resolve to."""
    is_demo: bool
    """Whether no configuration is given, so that the command's own is used."""
    _data: Path

    @classmethod
    def of(cls, arguments: argparse.Namespace, *, demo: str) -> "Task":
        """Resolve the settings, and refuse what the command cannot do, before anything is written.

        Args:
            arguments: The parsed arguments of the command.
            demo: The configuration to use if none is given, with videos in the output folder.

        Raises:
            ValueError: If ``--print`` is combined with ``--folds``, or a setting is wrong.
        """
        if arguments.only_print and arguments.folds is not None:
            raise ValueError(
                f"--print cannot list the trainings of --folds {arguments.folds}, because later "
                "ones depend on earlier ones: leave one of the two out."
            )
        base, data = arguments.settings, arguments.out / "data"
        is_demo = not any(each.startswith("--config=") for each in base)
        if is_demo:
            base = ["--config", demo, "--data.root", str(data), *base]
        return cls(base, resolve(base), is_demo, data)

    def provide_data(self, generate: Callable[[Path], Any]) -> None:
        """Generate the demo's videos if they are used, and check that there is a data set.

        Args:
            generate: Writes the videos into a folder, unless they are there.

        Raises:
            FileNotFoundError: If the data set does not exist.
            ValueError: If the settings name none.
        """
        if self.is_demo and self.settings["data"]["root"] == str(self._data):
            generate(self._data)
        require_data(self.settings)
