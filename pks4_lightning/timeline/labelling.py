"""Find segments in long videos: score windows, merge them, draw them.

Dimensions:
    N: windows
    K: classes
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.frame_source import FrameSource
from pks4_lightning.data.video.video import Video
from pks4_lightning.files import ANY_NAME, atomic_write, shown_name
from pks4_lightning.inference import TrainedClassifier, open_frames
from pks4_lightning.pictures.style import save_figure
from pks4_lightning.pictures.timeline import timeline_figure
from pks4_lightning.timeline.formats import SUBTITLES, Format, Labelled, write_segments
from pks4_lightning.timeline.overlay import Caption, write_overlay
from pks4_lightning.timeline.result_folder import ResultFolder
from pks4_lightning.timeline.row_file import RowFile
from pks4_lightning.timeline.segments import (
    MARGIN,
    Moments,
    Segment,
    find_moments,
    find_segments,
)
from pks4_lightning.timeline.window_pass import compute_windows
from pks4_lightning.timeline.windows import plan_windows
from pks4_lightning.training.scoring.predictions import best_labels

__all__ = ["FoundTimeline", "VideoLabeller", "find_timeline"]


class FoundTimeline(NamedTuple):
    """The labels of a video over time."""

    num_windows: int
    moments: Moments
    segments: list[Segment]


def find_timeline(
    model: TrainedClassifier,
    video: FrameSource,
    rows: RowFile,
    *,
    window: float,
    stride: float,
    margin: float = MARGIN,
    batch_size: int = 16,
    show: bool = False,
) -> FoundTimeline:
    """Score the windows of a video and merge them into segments.

    Args:
        model: The classifier with its preprocessing.
        video: The video.
        rows: File for the scores of the windows; each of its blocks is a batch. Existing blocks
            are not computed again.
        window: Length of a window in seconds.
        stride: Seconds between the starts of consecutive windows.
        margin: Another class becomes the label only if its score is higher by this much.
        batch_size: Windows per batch.
        show: Show a progress bar.

    Raises:
        VideoDecodeError: If the video cannot be decoded.
        ValueError: If a window is shorter than one of its frames.
    """
    plan = partial(plan_windows, num_frames=model.clip.num_frames, window=window, stride=stride)
    windows = compute_windows(
        model, video, plan, lambda clips: model.logits(clips).softmax(-1),
        rows, batch_size=batch_size, show=show,
    )  # fmt: skip
    spans = [each[:2] for each in windows]
    moments = find_moments(spans, rows.finish(), duration=video.duration)
    return FoundTimeline(len(windows), moments, find_segments(moments, margin=margin))


@dataclass(frozen=True, kw_only=True)
class VideoLabeller:
    """Finds the segments of videos with a classifier.

    Args:
        model: The classifier with its preprocessing.
        folder: The result folder: ``scores/<video>.npy`` has one row per window, ``<video>.png``
            shows the scores over time.
        window: Length of a window in seconds.
        stride: Seconds between the starts of windows.
        margin: The label changes only if another class scores this much higher.
        batch_size: Windows per batch.
    """

    model: TrainedClassifier
    folder: ResultFolder
    window: float
    stride: float
    margin: float
    batch_size: int = 16

    def label(self, path: str, *, show: bool = False) -> None:
        """Score the windows of a video and merge them, or resume an interrupted computation.

        Args:
            path: A file, or a folder of pictures.
            show: Show progress.

        Raises:
            VideoDecodeError: If it cannot be decoded; no results of it are kept.
            ValueError: If a window is shorter than one of its frames.
        """
        name = self.folder.name_of(path)
        rows = RowFile(self.folder.folder / "scores" / f"{name}.npy", block=self.batch_size)
        try:
            found = find_timeline(
                self.model, open_frames(path), rows, window=self.window, stride=self.stride,
                margin=self.margin, batch_size=self.batch_size, show=show,
            )  # fmt: skip
        except VideoDecodeError:
            rows.discard()
            raise
        names, moments = self.model.label_names, found.moments
        figure = timeline_figure(
            moments.edges, moments.scores, found.segments, names=names, title=shown_name(path)
        )
        save_figure(figure, self.folder.folder / f"{name}.png")
        segments = [(s.start, s.end, names[s.label], s.score) for s in found.segments]
        self.folder.finish(path, {"num_windows": found.num_windows, "segments": segments})

    def segments(self, path: str) -> list[Labelled]:
        """Return the segments of a video, without gaps or overlaps; empty unless it is finished.

        Args:
            path: Path of the video.
        """
        entry = self.folder.entry(path)
        return [Labelled(path, *each) for each in (entry or {"segments": []})["segments"]]

    def write(self, form: Format, paths: Iterable[str]) -> list[Path]:
        """Write the segments of all finished videos.

        Args:
            form: Format; subtitles have one file per video.
            paths: The videos, in the order in which to write them.

        Returns:
            The files.
        """
        files: dict[Path, list[Labelled]] = {}
        named = map(self.folder.first_spelling, paths)
        for path in dict.fromkeys([*named, *self.folder.finished]):
            if found := self.segments(path):
                name = self.folder.name_of(path) if form in SUBTITLES else "segments"
                files.setdefault(self.folder.folder / f"{name}.{form}", []).extend(found)
        for file, found in files.items():
            with atomic_write(file) as unfinished:
                unfinished.write_text(
                    write_segments(found, form), encoding="utf-8", errors=ANY_NAME
                )
        return list(files)

    def write_overlay(self, path: str, out: Path) -> None:
        """Write the best classes into a copy of a finished video.

        Args:
            path: Path of the video.
            out: As in :func:`~pks4_lightning.timeline.overlay.write_overlay`.

        Raises:
            ValueError: If the video is not finished, because it cannot be read.
        """
        if self.folder.entry(path) is None:
            raise ValueError(
                f"'{path}' cannot be read, so there is no '{out}'; "
                f"{self.folder.folder / 'failed.csv'} gives the reason."
            )
        name = self.folder.name_of(path)
        scores = np.load(self.folder.folder / "scores" / f"{name}.npy")
        video = Video(path)
        windows = plan_windows(
            video,
            num_frames=self.model.clip.num_frames,
            window=self.window,
            stride=self.stride,
        )
        spans = [window[:2] for window in windows[: len(scores)]]
        moments = find_moments(spans, scores, duration=video.duration)
        write_overlay(Path(path), out, partial(self._caption, moments))

    def _caption(self, moments: Moments, seconds: float) -> Caption:
        scores = moments.at(seconds)[None]
        return best_labels(scores, self.model.label_names, num_best=3)[0]
