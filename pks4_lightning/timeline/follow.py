"""Classify a video while it plays, frame by frame, with a state or a window of frames.

Dimensions:
    T: frames of a window
    S: side of the square that the model sees
    K: classes
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Literal, NamedTuple, TypeAlias

import av
import torch
from jaxtyping import Float
from torch import Tensor

from pks4_lightning.data.video.conversion import RgbConverter, stacked
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.models.classifier import PKS4Classifier

__all__ = ["Answer", "Follower", "Mode", "follower"]

Mode: TypeAlias = Literal["auto", "state", "window"]


class Answer(NamedTuple):
    """The prediction of a classifier after a frame of a stream."""

    time: float
    """Time of that frame, in seconds from the first frame of the stream."""
    scores: Float[Tensor, " K"]
    """Softmax scores, on the CPU."""


class Follower(ABC):
    """Receives frames one after the other and returns predictions.

    Args:
        model: The classifier with its preprocessing.
    """

    def __init__(self, model: TrainedClassifier) -> None:
        self.model = model
        self._converter = RgbConverter(apply_rotation=True)

    @torch.inference_mode()
    def see(self, time: float, frame: av.VideoFrame) -> Answer | None:
        """Process the next frame.

        Args:
            time: When it is shown, in seconds from the first frame of the stream.
            frame: The decoded frame.

        Returns:
            The prediction that is now complete; ``None`` if it needs later frames.
        """
        picture = stacked([self._converter.convert(frame, self.model.resize)])
        pixels = self.model.crop(picture).unsqueeze(0)
        return self._see(time, self.model.normalise(pixels))

    @torch.inference_mode()
    def end(self) -> list[Answer]:
        """Return the predictions that waited for frames after the end."""
        return []

    @property
    @abstractmethod
    def protocol(self) -> str:
        """Describe in a sentence which frames a prediction covers."""

    @abstractmethod
    def _see(self, time: float, frame: Float[Tensor, "1 3 1 S S"]) -> Answer | None: ...


class _ByState(Follower):
    """Exact predictions for all frames so far, in constant time and memory per frame."""

    def __init__(self, model: TrainedClassifier) -> None:
        super().__init__(model)
        if not isinstance(model.classifier, PKS4Classifier):
            raise ValueError(
                "This classifier is not a PKS⁴ classifier and keeps no state: classify the stream "
                "in windows (--mode window)."
            )
        self._classifier = model.classifier
        size = model.clip.frame_size
        self._state = self._classifier.initial_state(1, size=size)
        self._waiting: deque[float] = deque()

    @property
    def protocol(self) -> str:
        delay = self._classifier.delay
        late = f", {delay} frames late" if delay else ""
        return f"Each prediction covers all frames so far, with a state of constant size{late}."

    def _see(self, time: float, frame: Float[Tensor, "1 3 1 S S"]) -> Answer | None:
        self._waiting.append(time)
        with self.model.autocast():
            logits, self._state = self._classifier.steps(frame, self._state)
        if len(self._waiting) <= self._classifier.delay:
            return None
        return Answer(self._waiting.popleft(), logits[0, 0].float().softmax(-1).cpu())

    @torch.inference_mode()
    def end(self) -> list[Answer]:
        with self.model.autocast():
            logits = self._classifier.flush(self._state)[0]
        # in a stream shorter than the delay, fewer frames wait
        rows = logits[len(logits) - len(self._waiting) :].float().softmax(-1).cpu()
        return [Answer(time, row) for time, row in zip(self._waiting, rows, strict=True)]


class _ByWindow(Follower):
    """Classifies the last frames again for every frame, as many as in a training clip."""

    def __init__(self, model: TrainedClassifier) -> None:
        super().__init__(model)
        self._frames: deque[Tensor] = deque(maxlen=model.clip.num_frames)

    @property
    def protocol(self) -> str:
        return (
            f"Each prediction covers the last {self.model.clip.num_frames} frames, classified "
            "again. Train with model.classifier.causal true to follow a stream with a state."
        )

    def _see(self, time: float, frame: Float[Tensor, "1 3 1 S S"]) -> Answer:
        self._frames.append(frame)
        logits = self.model.logits(torch.cat([*self._frames], dim=2))
        return Answer(time, logits[0].softmax(-1).cpu())


def follower(model: TrainedClassifier, mode: Mode) -> Follower:
    """Return an object that follows a stream with a classifier.

    Args:
        model: The classifier with its preprocessing.
        mode: ``state``: exact, frame by frame; requires a causal classifier or one without a
            class-token route. ``window``: the last frames again, with any classifier. ``auto``:
            ``state`` if possible.

    Raises:
        ValueError: With ``state``, if the classifier does not support it; the message says why.
    """
    if mode == "window":
        return _ByWindow(model)
    try:
        return _ByState(model)
    except ValueError:
        if mode == "state":
            raise
        return _ByWindow(model)
