"""Extract features of long videos, as arrays that temporal detectors read.

Dimensions:
    B: windows
    T: frames of a window
    S: side of the square that the model sees
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.data.video.frame_source import FrameSource
from pks4_lightning.inference import TrainedClassifier, open_frames
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.timeline.result_folder import ResultFolder
from pks4_lightning.timeline.row_file import RowFile
from pks4_lightning.timeline.window_pass import compute_windows
from pks4_lightning.timeline.windows import Window, num_ticks, plan_ticks, plan_windows

__all__ = ["FeatureWriter", "Kind"]

Kind: TypeAlias = Literal["window", "frame", "patch"]

_TICKS_PER_SECOND = 1000
"""Approximate rate of the files' clock. Detectors count time in frames of a fixed rate, which a
video may not have; milliseconds suit all videos. The exact rate makes a stride a whole number of
ticks: OpenTAD cuts the fraction off, and times would drift."""


@dataclass(frozen=True, kw_only=True)
class FeatureWriter:
    """Writes ``<video>.npy`` for videos, with one row per window, frame or grid of patches.

    Row ``i`` covers the seconds from ``i * stride`` to ``i * stride + length``. Rows of windows may
    overlap. Rows of frames and patches are contiguous; each is computed from the frame on screen in
    the middle of its span, within clips of ``num_frames`` frames that do not overlap.

    Args:
        model: The classifier with its preprocessing.
        folder: The result folder.
        kind: Content of a row: a window (the head's input), a frame (its contribution to that), or
            the patches of a frame after the last block (width × rows × columns).
        window: Length of a clip in seconds.
        stride: Seconds between the starts of windows; applies to windows only.
        dtype: Data type of the files.
        batch_size: Clips per batch.

    Raises:
        ValueError: If the classifier has no vectors of frames.
    """

    model: TrainedClassifier
    folder: ResultFolder
    kind: Kind
    window: float
    stride: float
    dtype: torch.dtype = torch.float32
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.kind != "window" and not isinstance(self.model.classifier, PKS4Classifier):
            raise ValueError(
                f"This classifier has no feature vector per frame, which --kind {self.kind} "
                "needs: choose --kind window."
            )

    def write(self, path: str, *, show: bool = False) -> int:
        """Write the rows of a video, or resume an interrupted computation.

        Args:
            path: A file, or a folder of pictures.
            show: Show progress.

        Returns:
            The number of rows.

        Raises:
            VideoDecodeError: If it cannot be decoded; no rows of it are kept.
            ValueError: If a window is shorter than one of its frames.
        """
        video = open_frames(path)
        per_window = 1 if self.kind == "window" else self.model.clip.num_frames
        file = self.folder.folder / f"{self.folder.name_of(path)}.npy"
        rows = RowFile(file, block=self.batch_size * per_window)
        try:
            compute_windows(
                self.model, video, self._plan(), self._compute(),
                rows, rows_per_window=per_window, batch_size=self.batch_size, show=show,
            )  # fmt: skip
        except VideoDecodeError:
            rows.discard()
            raise
        array = rows.finish(None if self.kind == "window" else num_ticks(video, self._row_seconds))
        self.folder.finish(path, {"shape": list(array.shape), "duration": video.duration})
        return len(array)

    def description(self) -> dict[str, Any]:
        """Return what a detector needs to know: the timing of rows, and the list of videos."""
        stride = self.stride if self.kind == "window" else self._row_seconds
        length = self.window if self.kind == "window" else self._row_seconds
        ticks = max(1, round(_TICKS_PER_SECOND * stride))
        fps = ticks / stride
        finished = self.folder.finished
        return {
            "kind": self.kind,
            "seconds": {"stride": stride, "length": length},
            "row_shape": next((entry["shape"][1:] for entry in finished.values()), None),
            "actionformer": {
                "file_ext": ".npy",
                "default_fps": fps,
                "feat_stride": ticks,
                "num_frames": fps * length,
            },
            "opentad": {
                "feature_stride": ticks,
                "sample_stride": 1,
                "offset_frames": round(fps * length / 2),
            },
            "database": {
                entry["name"]: {
                    "video": path,
                    "duration": entry["duration"],
                    "fps": fps,
                    "frame": round(fps * entry["duration"]),
                    "num_rows": entry["shape"][0],
                }
                for path, entry in finished.items()
            },
        }

    @property
    def _row_seconds(self) -> float:
        return self.window / self.model.clip.num_frames

    def _plan(self) -> Callable[[FrameSource], list[Window]]:
        num_frames = self.model.clip.num_frames
        if self.kind == "window":
            return partial(
                plan_windows, num_frames=num_frames, window=self.window, stride=self.stride
            )
        return partial(plan_ticks, num_frames=num_frames, window=self.window)

    def _compute(self) -> Callable[[Float[Tensor, "B 3 T S S"]], Tensor]:
        classifier = self.model.classifier

        @torch.inference_mode()
        def compute(clips: Float[Tensor, "B 3 T S S"]) -> Tensor:
            with self.model.autocast():
                if not isinstance(classifier, PKS4Classifier) or self.kind == "window":
                    return classifier.clip_vectors(clips).to(self.dtype)
                of_frames = (
                    classifier.frame_vectors if self.kind == "frame" else classifier.patch_vectors
                )
                return of_frames(clips).flatten(0, 1).to(self.dtype)

        return compute
