"""Prediction files that grow as videos are scored, and survive a kill at any moment.

A file is valid after every append, so it can be read while it grows. A kill damages at most the
last line, which is ignored when the file is read again.
"""

import csv
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pks4_lightning.files import ANY_NAME, atomic_write, json_line
from pks4_lightning.training.scoring.predictions import Label, Prediction

__all__ = ["PredictionFile", "PredictionFormat", "prediction_file", "read_predictions"]

PredictionFormat = Literal["csv", "json", "jsonl"]


class PredictionFile(ABC):
    """A file with one prediction per line; it does not exist before the first.

    Args:
        path: The file.
        num_best: Classes per video.
    """

    _head = ""
    _tail = ""
    """Text after the last line; the next line overwrites it."""
    _newline = "\n"
    _joint = ""
    """Text before every line but the first."""

    def __init__(self, path: Path, *, num_best: int) -> None:
        self.path = path
        self.num_best = num_best

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write the whole file, atomically.

        Args:
            predictions: The new contents.
        """
        with atomic_write(self.path) as path:
            path.write_bytes(self._text(predictions).encode(errors=ANY_NAME))

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Append predictions, and sync them to disk.

        Args:
            predictions: The new ones.
        """
        if not self.path.exists():
            self.write([])
        with self.path.open("r+b") as file:
            end = file.seek(-len(self._tail), os.SEEK_END)
            text = self._lines(predictions) + self._tail
            if end == len(self._head.encode()):
                text = text.removeprefix(self._joint)
            file.write(text.encode(errors=ANY_NAME))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Prediction]:
        """Return the predictions in the file, without an incomplete last line.

        The file is then as this class writes it, so that it can be appended to: an incomplete last
        line is removed, and other line ends are replaced.

        Raises:
            ValueError: If the file begins otherwise, or another line is not a prediction.
        """
        found = text = self.path.read_bytes().decode(errors=ANY_NAME)
        if self._newline not in text:
            text = text.replace("\n", self._newline)
        lines = text.removeprefix(self._head).removesuffix(self._tail).split(self._newline)
        if not text.startswith(self._head):
            if not self._head.startswith(text):  # nothing but a part of it
                raise self._refusal(text.split("\n")[0])
            lines = []
        predictions = []
        for number, line in enumerate(lines, start=1):
            content = line.removeprefix(self._joint)
            try:
                prediction = self._parse(content)
            except (ValueError, TypeError, KeyError, csv.Error):
                if number < len(lines):
                    raise self._refusal(line) from None
                continue
            # without its newline, a score may lack digits
            if number < len(lines) or self._format(prediction) == content.rstrip(self._newline):
                predictions.append(prediction)
        if self._text(predictions) != found:
            self.write(predictions)
        return predictions

    def _text(self, predictions: Sequence[Prediction]) -> str:
        lines = self._lines(predictions).removeprefix(self._joint)
        return self._head + lines + self._tail

    def _lines(self, predictions: Sequence[Prediction]) -> str:
        return "".join(
            self._joint + self._format(prediction) + self._newline for prediction in predictions
        )

    def _refusal(self, line: str) -> ValueError:
        return ValueError(
            f"'{self.path}' is not a file of `pks4 predict` with {self.num_best} classes per "
            f"video: {line[:80]!r} is not a prediction; choose another folder with --out."
        )

    @abstractmethod
    def _format(self, prediction: Prediction) -> str:
        """Return a prediction as a line, without the newline."""

    @abstractmethod
    def _parse(self, line: str) -> Prediction:
        """Return the prediction of a line.

        Raises:
            ValueError: If it is not one; ``TypeError``, ``KeyError`` or ``csv.Error`` likewise.
        """


class _CsvFile(PredictionFile):
    """Columns ``video_path, label, top1, score1, top2, score2, ...``."""

    _newline = "\r\n"  # as in RFC 4180, so that a path may contain a line feed

    def __init__(self, path: Path, *, num_best: int) -> None:
        super().__init__(path, num_best=num_best)
        ranked = [f"{column}{k}" for k in range(1, num_best + 1) for column in ("top", "score")]
        self._head = self._row(["video_path", "label", *ranked]) + self._newline

    def _format(self, prediction: Prediction) -> str:
        ranked = [cell for name, score in prediction.best for cell in (name, f"{score:.6f}")]
        return self._row([prediction.video_path, prediction.label, *ranked])

    def _parse(self, line: str) -> Prediction:
        (cells,) = csv.reader([line], strict=True)
        if len(cells) != 2 + 2 * self.num_best:
            raise ValueError
        return _of_cells(cells)

    def _row(self, cells: list[str]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator=self._newline).writerow(cells)
        return text.getvalue().removesuffix(self._newline)


class _JsonLinesFile(PredictionFile):
    """Objects ``{"video_path", "label", "best": [{"name", "score"}, ...]}``, one per line."""

    def _format(self, prediction: Prediction) -> str:
        best = [{"name": name, "score": round(score, 6)} for name, score in prediction.best]
        return json_line({**prediction._asdict(), "best": best})

    def _parse(self, line: str) -> Prediction:
        said = json.loads(line)
        if len(said["best"]) != self.num_best:
            raise ValueError
        return Prediction(**{**said, "best": [Label(**label) for label in said["best"]]})


class _JsonFile(_JsonLinesFile):
    """The same objects as one list."""

    _head, _tail, _joint = "[\n", "]\n", ","


def prediction_file(
    folder: Path, file_format: PredictionFormat, *, num_best: int
) -> PredictionFile:
    """Return the file ``predictions.csv``, ``.json`` or ``.jsonl`` of a folder, writing nothing.

    Args:
        folder: The folder.
        file_format: The format.
        num_best: Classes per video.
    """
    kinds: dict[PredictionFormat, type[_CsvFile | _JsonLinesFile]]
    kinds = {"csv": _CsvFile, "json": _JsonFile, "jsonl": _JsonLinesFile}
    return kinds[file_format](folder / f"predictions.{file_format}", num_best=num_best)


def read_predictions(folder: Path) -> list[Prediction]:
    """Return the predictions of a finished test, in the order of the annotations.

    Args:
        folder: The folder with its ``predictions.csv``, which has at least one class per video.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = folder / "predictions.csv"
    with path.open(newline="", encoding="utf-8", errors=ANY_NAME) as file:
        lines = csv.reader(file)
        next(lines)
        return list(map(_of_cells, lines))


def _of_cells(cells: Sequence[str]) -> Prediction:
    video_path, label, *ranked = cells
    return Prediction(video_path, label, list(map(Label, ranked[::2], map(float, ranked[1::2]))))
