"""Answers while a video runs: frame in, labels out, by a state or by a window of frames.

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
    """What a classifier says when it has seen the stream up to a frame."""

    time: float
    """Of that frame, in seconds from the stream's first."""
    scores: Float[Tensor, " K"]
    """Softmax, on the CPU."""


class Follower(ABC):
    """Sees one frame after the other and answers.

    Args:
        model: The classifier and what it is fed.
    """

    def __init__(self, model: TrainedClassifier) -> None:
        self.model = model
        self._converter = RgbConverter(apply_rotation=True)

    @torch.inference_mode()
    def see(self, time: float, frame: av.VideoFrame) -> Answer | None:
        """Take the next frame in.

        Args:
            time: When it is shown, in seconds from the stream's first.
            frame: As decoded.

        Returns:
            The answer that is due now; ``None`` where later frames must come first.
        """
        picture = stacked([self._converter.convert(frame, self.model.resize)])
        pixels = self.model.crop(picture).unsqueeze(0)
        return self._see(time, self.model.normalise(pixels))

    @torch.inference_mode()
    def end(self) -> list[Answer]:
        """Return the answers that waited for frames which do not come."""
        return []

    @property
    @abstractmethod
    def protocol(self) -> str:
        """What an answer is about, in a sentence."""

    @abstractmethod
    def _see(self, time: float, frame: Float[Tensor, "1 3 1 S S"]) -> Answer | None: ...


class _ByState(Follower):
    """Follows exactly, in constant time and memory: the answer is that for all frames so far."""

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
        return f"Each answer is for all frames so far, by a state of constant size{late}."

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
        # a stream shorter than the delay has fewer frames to answer
        rows = logits[len(logits) - len(self._waiting) :].float().softmax(-1).cpu()
        return [Answer(time, row) for time, row in zip(self._waiting, rows, strict=True)]


class _ByWindow(Follower):
    """Classifies the last frames anew at every frame: as many as a clip had in training."""

    def __init__(self, model: TrainedClassifier) -> None:
        super().__init__(model)
        self._frames: deque[Tensor] = deque(maxlen=model.clip.num_frames)

    @property
    def protocol(self) -> str:
        return (
            f"Each answer is for the last {self.model.clip.num_frames} frames, classified anew. "
            "Train with model.classifier.causal true to follow a stream by a state."
        )

    def _see(self, time: float, frame: Float[Tensor, "1 3 1 S S"]) -> Answer:
        self._frames.append(frame)
        logits = self.model.logits(torch.cat([*self._frames], dim=2))
        return Answer(time, logits[0].softmax(-1).cpu())


def follower(model: TrainedClassifier, mode: Mode) -> Follower:
    """Return what follows a stream with a classifier.

    Args:
        model: The classifier and what it is fed.
        mode: ``state``: exactly, frame by frame; only a causal classifier, or one without a
            class-token route, can. ``window``: the last frames anew, any classifier. ``auto``: by
            its state if it can.

    Raises:
        ValueError: With ``state``, if it cannot; the sentence says why and what to do.
    """
    if mode == "window":
        return _ByWindow(model)
    try:
        return _ByState(model)
    except ValueError:
        if mode == "state":
            raise
        return _ByWindow(model)
