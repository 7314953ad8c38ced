"""One step of training, the same on real tensors as on tensors without content."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["ClipBatch", "Precision", "TrainingStep"]


@dataclass(frozen=True)
class Precision:
    """Number types of a training, as a trainer's ``precision`` names them."""

    weights: torch.dtype = torch.float32
    """Of the parameters, the gradients and AdamW's moments, and of what autocast leaves alone."""
    autocast: torch.dtype | None = None
    """Of the matrix products; ``None`` means that of the weights."""

    @classmethod
    def named(cls, name: str | int | None) -> "Precision":
        """Return what a name stands for.

        Args:
            name: ``bf16-mixed``, ``16-true``, ``32`` and so on, as ``trainer.precision`` has it;
                ``None`` means float32.
        """
        number, _, mode = str(name or 32).partition("-")
        dtypes = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
        dtype = dtypes.get(number, torch.float32)
        is_mixed = number in ("bf16", "16") and mode != "true"
        return cls(autocast=dtype) if is_mixed else cls(weights=dtype)


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The clips of one forward pass."""

    num_clips: int
    num_frames: int
    frame_size: int
    """Side of a frame in pixels."""

    def video(self, device: str | torch.device, dtype: torch.dtype) -> Tensor:
        """Return clips of that shape.

        Args:
            device: Where they lie.
            dtype: Their number type.
        """
        shape = (self.num_clips, 3, self.num_frames, self.frame_size, self.frame_size)
        return torch.ones(shape, device=device, dtype=dtype)


class TrainingStep:
    """Forward, loss, backward and AdamW.

    Args:
        classifier: What is trained, in the precision's number type.
        clips: The clips of a step.
        precision: Number types.
    """

    def __init__(self, classifier: VideoClassifier, clips: ClipBatch, precision: Precision) -> None:
        self.classifier = classifier.train()
        self.optimizer = torch.optim.AdamW(classifier.parameters())
        self.clips = clips
        self.precision = precision

    def forward(self) -> Tensor:
        """Return the logits of new clips."""
        device = self.classifier.head.weight.device
        video = self.clips.video(device, self.precision.weights)
        with self._autocast(device):
            return self.classifier(video)

    def __call__(self) -> None:
        """Take one step towards even scores; the gradients are gone afterwards."""
        logits = self.forward().float()
        F.cross_entropy(logits, torch.full_like(logits, 1 / logits.shape[1])).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def allocate_moments(self) -> None:
        """Make AdamW's moments, as an earlier step would have."""
        for parameter in self.classifier.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self.precision.autocast is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.precision.autocast)
