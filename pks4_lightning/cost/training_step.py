"""A training step that runs on real and on fake tensors alike."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["ClipBatch", "Precision", "TrainingStep"]


@dataclass(frozen=True)
class Precision:
    """Dtypes of a training, as defined by a trainer's ``precision``."""

    weights: torch.dtype = torch.float32
    """Dtype of parameters, gradients, AdamW's moments, and operations outside autocast."""
    autocast: torch.dtype | None = None
    """Dtype of matrix products under autocast; ``None`` means that of the weights."""

    @classmethod
    def named(cls, name: str | int | None) -> "Precision":
        """Return the precision of a given name.

        Args:
            name: ``bf16-mixed``, ``16-true``, ``32`` and so on, as in ``trainer.precision``;
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
        """Return clips of this shape, filled with ones.

        Args:
            device: Device of the tensor.
            dtype: Dtype of the tensor.
        """
        shape = (self.num_clips, 3, self.num_frames, self.frame_size, self.frame_size)
        return torch.ones(shape, device=device, dtype=dtype)


class TrainingStep:
    """Forward, loss, backward and AdamW.

    Args:
        classifier: The classifier to train, in the precision's dtype.
        clips: The clips of a step.
        precision: Dtypes of the training.
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
        """Take one step towards uniform scores, then release the gradients."""
        logits = self.forward().float()
        F.cross_entropy(logits, torch.full_like(logits, 1 / logits.shape[1])).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def allocate_moments(self) -> None:
        """Allocate AdamW's moments, as an earlier step would have."""
        for parameter in self.classifier.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self.precision.autocast is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.precision.autocast)
