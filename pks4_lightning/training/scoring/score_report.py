"""Summarise a test: how many videos were listed, scored and correct."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from pks4_lightning.batch import Split
from pks4_lightning.training.scoring.class_report import ClassReport, confusion_counts
from pks4_lightning.training.scoring.view_scores import VideoResult, accuracy, interval

__all__ = ["ScoreReport", "report_scores"]


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """Account for every listed video.

    Args:
        split: The split that was scored: validation if there is no test split with labels.
        annotations: The file or folder that lists the videos.
        num_listed: Videos in the annotations.
        num_missing: Videos that are listed but missing on disk.
        num_failed: Videos on disk that cannot be decoded.
        num_scored: Videos that count in ``top1`` and ``top5``.
        top1: Share of the scored videos that are correct.
        top5: The same for the five best classes.
        top1_interval: 95 % confidence interval (Wilson) over the scored videos.
        top5_interval: The same for the five best classes.
        top1_of_listed: The same with missing and failed videos counted as wrong.
        top5_of_listed: The same for the five best classes.
        mean_class_accuracy: Top-1 of each class with scored videos, averaged over these classes.
        macro_f1: F1 averaged over the classes that are true or predicted for a scored video.
    """

    split: Split
    annotations: str
    num_listed: int
    num_missing: int
    num_failed: int
    num_scored: int
    top1: float
    top5: float
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]
    top1_of_listed: float
    top5_of_listed: float
    mean_class_accuracy: float
    macro_f1: float

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for a JSON file, shares rounded to six digits."""
        return {
            f"test/video_{name}" if isinstance(value, float | tuple) else name: _rounded(value)
            for name, value in asdict(self).items()
        }

    def as_table(self) -> Table:
        """Return the numbers for a terminal."""
        split = {"train": "training", "val": "validation", "test": "test"}[self.split]
        stands_in = "" if self.split == "test" else ", as there is no test split with labels"
        table = Table(
            title=f"Test on the {split} split, {self.annotations}{stands_in}",
            title_justify="left",
            caption_justify="left",
        )
        for heading in ("", "top-1 %", "95 % interval", "top-5 %", "95 % interval"):
            table.add_column(heading, justify="left" if heading == "" else "right")
        table.add_row(
            f"{self.num_scored:,} videos scored",
            *_cells(self.top1, self.top1_interval),
            *_cells(self.top5, self.top5_interval),
        )
        table.caption = (
            f"mean class accuracy {self.mean_class_accuracy:.2%}, macro F1 {self.macro_f1:.4f}"
        )
        lost = self.num_missing + self.num_failed
        if lost:
            table.add_row(
                f"all {self.num_listed:,} listed: {self.num_missing:,} missing and "
                f"{self.num_failed:,} failed count as wrong",
                *_cells(self.top1_of_listed),
                *_cells(self.top5_of_listed),
            )
        return table


def report_scores(
    result: VideoResult,
    *,
    split: Split,
    annotations: str,
    num_missing: int,
    num_failed: int,
) -> ScoreReport:
    """Summarise a test.

    Args:
        result: The scored videos; there may be none.
        split: The split they belong to.
        annotations: The file or folder that lists them.
        num_missing: Videos that are listed but missing on disk.
        num_failed: Videos that could not be decoded.
    """
    num_scored = len(result.label)
    num_listed = num_scored + num_missing + num_failed
    tops = {}
    for k in (1, 5):
        tops[f"top{k}"] = accuracy(result, k) if num_scored else 0.0
        tops[f"top{k}_of_listed"] = tops[f"top{k}"] * num_scored / max(1, num_listed)
    classes = ClassReport(confusion_counts(result.scores, result.label))
    return ScoreReport(
        split=split,
        annotations=annotations,
        num_listed=num_listed,
        num_missing=num_missing,
        num_failed=num_failed,
        num_scored=num_scored,
        top1_interval=interval(result, 1),
        top5_interval=interval(result, 5),
        mean_class_accuracy=classes.mean_accuracy,
        macro_f1=classes.macro_f1,
        **tops,
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(share, 6) for share in value]
    return round(value, 6) if isinstance(value, float) else value


def _cells(share: float, bounds: tuple[float, float] | None = None) -> tuple[str, str]:
    between = f"{bounds[0]:.1%} – {bounds[1]:.1%}".replace("%", "") if bounds else ""
    return f"{share:.2%}".rstrip("%"), between
