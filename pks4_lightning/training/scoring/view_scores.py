"""The scores of every view of a test, kept so that any subset of the views can be scored again.

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

__all__ = ["VideoResult", "ViewScores", "accuracy", "interval"]


class VideoResult(NamedTuple):
    """Scores of videos, each averaged over its views."""

    video_index: Int[np.ndarray, " M"]
    label: Int[np.ndarray, " M"]
    scores: Float[np.ndarray, "M K"]


@dataclass(frozen=True, eq=False)
class ViewScores:
    """Softmax scores of views, with what is needed to make videos out of them.

    Args:
        scores: One row per view; rows sum to 1.
        video_index: Which video a view belongs to, by its place in the annotations.
        view_index: Number of the view in its video: clip × crops + crop.
        label: Class index of the view's video; -1 where it is not known.
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
            views: Numbers of the views to take; ``None`` takes all.

        Returns:
            One row per video, ordered by its place in the annotations.

        Raises:
            ValueError: If a video lacks one of the views.
        """
        keep = np.ones(len(self.view_index), bool)
        if views is not None:
            self._check(views)
            keep = np.isin(self.view_index, views)
        videos, first, inverse, counts = np.unique(
            self.video_index[keep], return_index=True, return_inverse=True, return_counts=True
        )
        total = np.zeros((len(videos), self.scores.shape[1]))
        np.add.at(total, inverse, self.scores[keep])
        means = (total / counts[:, None]).astype(np.float32)
        return VideoResult(videos, self.label[keep][first], means)

    def _check(self, views: Sequence[int]) -> None:
        num_videos = len(np.unique(self.video_index))
        for view in views:
            if np.count_nonzero(self.view_index == view) != num_videos:
                known = ", ".join(map(str, np.unique(self.view_index)))
                raise ValueError(f"Not every video has a view {view}; there are views {known}.")

    def save(self, path: str | Path) -> None:
        """Write everything into one compressed file, whole or not at all."""
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
        """Read what :meth:`save` wrote; nothing in the file can run code.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no file of this kind.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no file {path}; `pks4 test` writes it.")
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
                f"{path} holds no view scores; give the view_scores.npz of a test."
            ) from error


def accuracy(result: VideoResult, k: int) -> float:
    """Return the share of videos whose label is among the ``k`` best classes.

    Args:
        result: At least one video.
        k: How many classes count.
    """
    return float(_right(result, k).mean())


def interval(
    result: VideoResult, k: int, *, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return a bootstrap confidence interval of :func:`accuracy`, over videos.

    A mean over videos drawn with replacement is a binomial share, so 10,000 draws cost nothing.

    Args:
        result: At least one video.
        k: How many classes count.
        confidence: Share of the draws that lie inside.
        seed: Seed of the draws.
    """
    right = _right(result, k)
    draws = np.random.default_rng(seed).binomial(len(right), right.mean(), size=10_000)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws / len(right), [tail, 1 - tail])
    return float(low), float(high)


def _right(result: VideoResult, k: int) -> np.ndarray:
    """Whether each video's label is among its best classes; ties go to the lower class index."""
    own = np.take_along_axis(result.scores, result.label[:, None], axis=1)
    above = (result.scores > own).sum(axis=1)
    classes = np.arange(result.scores.shape[1])
    level = ((result.scores == own) & (classes < result.label[:, None])).sum(axis=1)
    right: np.ndarray = above + level < k
    return right
