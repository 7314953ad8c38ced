"""``failed.csv``: the videos that could not be scored, and why."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path

from pks4_lightning.files import ANY_NAME, escaped
from pks4_lightning.training.scoring.view_aggregation import Failure

__all__ = ["FailureFile"]

logger = logging.getLogger(__name__)

_NUM_SHOWN = 3


class FailureFile:
    """A list of videos that could not be scored; without any, there is no file.

    Args:
        path: The file; one from an earlier run is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_failures = 0
        self._num_logged = 0
        path.unlink(missing_ok=True)

    def append(self, failures: Sequence[Failure]) -> None:
        """Add videos that could not be decoded, and log the reasons of the first few.

        Args:
            failures: The new ones; may be empty.
        """
        for failure in failures[: max(0, _NUM_SHOWN - self._num_logged)]:
            logger.warning("%s", escaped(failure.reason))
            self._num_logged += 1
        self._write(failures)

    def append_missing(self, paths: Sequence[str]) -> None:
        """Add videos that do not exist.

        Args:
            paths: The videos as listed; may be empty.
        """
        self._write([Failure(path, "missing") for path in paths])

    def log_total(self) -> None:
        """Log their number, if there are any."""
        if self.num_failures:
            logger.warning(
                "%d videos could not be scored; %s lists them.", self.num_failures, self.path
            )

    def _write(self, failures: Sequence[Failure]) -> None:
        if not failures:
            return
        with self.path.open("a", newline="", encoding="utf-8", errors=ANY_NAME) as file:
            writer = csv.writer(file)
            if not self.num_failures:
                writer.writerow(Failure._fields)
            writer.writerows(failures)
        self.num_failures += len(failures)
