"""What the settings say of the frames that a model sees, and what they leave to the model."""

from dataclasses import dataclass

from pks4_lightning.batch import CLIP_MEAN, CLIP_STD, Colour, FrameInput
from pks4_lightning.data.video.frame_source import Resize

__all__ = ["CLIP_INPUT", "FrameSettings"]

CLIP_INPUT = FrameInput(CLIP_MEAN, CLIP_STD, 224)
"""What is taken while no model is known: that of the paper's backbone."""

_TOLERANCE = 1e-3
"""Of a mean or deviation; a fifth of the step between two values of a pixel."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """Settings of the data module; ``None`` leaves one to the model."""

    frame_size: int | None
    resize: Resize | None
    mean: Colour | None
    std: Colour | None

    def completed(self, wanted: FrameInput, *, is_known: bool = False) -> FrameInput:
        """Return what frames are made into: as the settings say, else as a model wants it.

        Args:
            wanted: By the model.
            is_known: Whether the model was trained so, or it is only usual for its kind.

        Raises:
            ValueError: If the settings normalise otherwise than the model was trained.
        """
        for name in ("mean", "std"):
            given, trained = getattr(self, name), getattr(wanted, name)
            if is_known and given is not None and not _close(given, trained):
                raise ValueError(
                    f"data.{name} is {tuple(given)}, but the model's backbone was trained with "
                    f"{tuple(trained)}: leave data.{name} out (null), or set "
                    f"--model.classifier.preprocessing.{name} as well."
                )
        return FrameInput(
            self.mean or wanted.mean, self.std or wanted.std, self.frame_size or wanted.size
        )

    def resize_for(self, size: int) -> Resize:
        """Return the scaling of frames before they are cropped to ``size`` pixels.

        Args:
            size: Side of the crops.
        """
        if self.resize is not None:
            return self.resize
        return 256 if size <= 256 else round(size * 8 / 7)


def _close(given: Colour, trained: Colour) -> bool:
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(given, trained, strict=True))
