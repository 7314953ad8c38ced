"""Scores of all views of a test, stored so that any subset of views can be rescored.

Dimensions:
    V: views of all videos
    M: videos
    K: classes
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int

from pks4_lightning.files import atomic_write
from pks4_lightning.suggestions import did_you_mean_path
from pks4_lightning.training.scoring.accuracy import (
    in_top_k,
    mean_over_views,
    wilson_interval,
)

__all__ = ["VideoResult", "ViewScores", "accuracy", "interval"]


class VideoResult(NamedTuple):
    """Scores of videos, each averaged over its views."""

    video_index: Int[np.ndarray, " M"]
    label: Int[np.ndarray, " M"]
    scores: Float[np.ndarray, "M K"]


@dataclass(frozen=True, eq=False)
class ViewScores:
    """Softmax scores of views, with what is needed to aggregate them to videos.

    Args:
        scores: One row per view; rows sum to 1.
        video_index: Index in the annotations of each view's video.
        view_index: Index of the view in its video: clip × crops + crop.
        label: Class index of the view's video; -1 if unknown.
        label_names: Class names by index.
    """

    scores: Float[np.ndarray, "V K"]
    video_index: Int[np.ndarray, " V"]
    view_index: Int[np.ndarray, " V"]
    label: Int[np.ndarray, " V"]
    label_names: tuple[str, ...] = ()

    def per_video(self, views: Sequence[int] | None = None) -> VideoResult:
        """Average the scores of each video's views.

        Args:
            views: Indices of the views to use; ``None`` uses all.

        Returns:
            One row per video, ordered by index in the annotations.

        Raises:
            ValueError: If a video lacks one of the views.
        """
        keep = np.ones(len(self.view_index), bool)
        if views is not None:
            self._check(views)
            keep = np.isin(self.view_index, views)
        videos = mean_over_views(self.scores[keep], self.video_index[keep])
        label = self.label[keep][videos.first_view]
        return VideoResult(videos.video_index, label, videos.scores)

    def _check(self, views: Sequence[int]) -> None:
        num_videos = len(np.unique(self.video_index))
        for view in views:
            if np.count_nonzero(self.view_index == view) != num_videos:
                known = ", ".join(map(str, np.unique(self.view_index)))
                raise ValueError(
                    f"Not every video has a view {view}; the views in the file are {known}."
                )

    def save(self, path: str | Path) -> None:
        """Write everything into one compressed file, atomically."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                scores=self.scores,
                video_index=self.video_index,
                view_index=self.view_index,
                label=self.label,
                label_names=np.array(self.label_names, dtype=np.str_),
            )

    @classmethod
    def load(cls, path: str | Path) -> "ViewScores":
        """Read a file written by :meth:`save`; reading it executes no code.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not such a file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"There is no file {path}" + did_you_mean_path(path, "`pks4 test` writes it")
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    scores=file["scores"],
                    video_index=file["video_index"],
                    view_index=file["view_index"],
                    label=file["label"],
                    label_names=tuple(map(str, file["label_names"])),
                )
        except (KeyError, ValueError, BadZipFile, EOFError) as error:
            raise ValueError(
                f"{path} contains no view scores; give the view_scores.npz of a test."
            ) from error


def accuracy(result: VideoResult, k: int) -> float:
    """Return the share of videos whose label is among the ``k`` best classes.

    Args:
        result: At least one video.
        k: Number of best classes.
    """
    return float(in_top_k(result.scores, result.label, k).mean())


def interval(result: VideoResult, k: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of :func:`accuracy`, by Wilson's method.

    Args:
        result: Videos; with none, the interval is 0 to 1.
        k: Number of best classes.
    """
    right = in_top_k(result.scores, result.label, k)
    return wilson_interval(int(right.sum()), len(right))
