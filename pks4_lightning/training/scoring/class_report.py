"""Test results by class: accuracy, precision, F1 and the confusion matrix.

Dimensions:
    M: videos
    K: classes
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from pks4_lightning.files import write_csv
from pks4_lightning.pictures.confusion import confusion_matrix_figure
from pks4_lightning.pictures.style import save_figure

__all__ = ["ClassReport", "confusion_counts"]

_COLUMNS = (
    *("label", "num_videos", "accuracy", "precision", "f1", "most_often_taken_for", "times"),
)


def confusion_counts(
    scores: Float[np.ndarray, "M K"], label: Int[np.ndarray, " M"]
) -> Int[np.ndarray, "K K"]:
    """Count the videos of each true class (row) by predicted class (column).

    Args:
        scores: Class scores; of equal ones, the lower class index is predicted.
        label: True class of each video.
    """
    counts = np.zeros((scores.shape[1],) * 2, dtype=np.int64)
    np.add.at(counts, (label, scores.argmax(axis=1)), 1)
    return counts


class ClassReport:
    """Metrics of every class.

    Args:
        counts: Videos per true class (row) and predicted class (column).
    """

    accuracy: Float[np.ndarray, " K"]
    """Share of a class's videos that are predicted correctly (recall); NaN if there are none."""
    precision: Float[np.ndarray, " K"]
    """Share of a class's predictions that are correct; NaN if there are none."""
    f1: Float[np.ndarray, " K"]
    """Harmonic mean of both; NaN for a class that is neither true nor predicted for any video."""

    def __init__(self, counts: Int[np.ndarray, "K K"]) -> None:
        self.counts = counts
        self.num_videos, self.num_answers = counts.sum(axis=1), counts.sum(axis=0)
        right = counts.diagonal()
        self.accuracy = _divide(right, self.num_videos)
        self.precision = _divide(right, self.num_answers)
        self.f1 = _divide(2 * right, self.num_videos + self.num_answers)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that have videos; each class has the same weight."""
        return _mean(self.accuracy)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that are true or predicted for some video."""
        return _mean(self.f1)

    def write(self, folder: Path, label_names: Sequence[str]) -> None:
        """Write ``per_class.csv``, ``confusion.csv`` and ``confusion.png``.

        Args:
            folder: Output folder.
            label_names: Class names by index.
        """
        write_csv(folder / "per_class.csv", _COLUMNS, self._rows(label_names))
        rows = [[name, *row] for name, row in zip(label_names, self.counts.tolist(), strict=True)]
        write_csv(folder / "confusion.csv", ["true class \\ answer", *label_names], rows)
        figure = confusion_matrix_figure(self.counts, label_names, with_all_names=True)
        save_figure(figure, folder / "confusion.png")

    def _rows(self, label_names: Sequence[str]) -> list[list[object]]:
        """Return one row per class; undefined cells are empty."""
        rows: list[list[object]] = []
        wrong = self.counts - np.diag(self.counts.diagonal())
        for k, name in enumerate(label_names):
            shares = (self.accuracy[k], self.precision[k], self.f1[k])
            cells = ["" if np.isnan(share) else f"{share:.6f}" for share in shares]
            other = int(wrong[k].argmax())
            times = int(wrong[k, other])
            taken_for = [label_names[other], times] if times else ["", 0]
            rows.append([name, int(self.num_videos[k]), *cells, *taken_for])
        return rows


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0
