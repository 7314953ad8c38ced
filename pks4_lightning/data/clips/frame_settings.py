"""The frame settings of the data module, and defaults taken from the model."""

from dataclasses import dataclass

from pks4_lightning.batch import CLIP_MEAN, CLIP_STD, Colour, FrameInput
from pks4_lightning.data.video.frame_source import Resize

__all__ = ["CLIP_INPUT", "FrameSettings"]

CLIP_INPUT = FrameInput(CLIP_MEAN, CLIP_STD, 224)
"""Defaults while no model is known: those of the paper's backbone."""

_TOLERANCE = 1e-3
"""Tolerance of a mean or deviation; a fifth of one step of an 8-bit pixel."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """Frame settings of the data module; ``None`` takes a value from the model."""

    frame_size: int | None
    resize: Resize | None
    mean: Colour | None
    std: Colour | None

    def completed(self, wanted: FrameInput, *, is_known: bool = False) -> FrameInput:
        """Fill in settings that are left to the model.

        Args:
            wanted: The model's values.
            is_known: Whether the model is known to be trained with them; otherwise they are only
                usual for its kind.

        Raises:
            ValueError: If the settings normalise differently from the model's training.
        """
        for name in ("mean", "std"):
            given, trained = getattr(self, name), getattr(wanted, name)
            if is_known and given is not None and not _close(given, trained):
                raise ValueError(
                    f"data.{name} is {tuple(given)}, but the model's backbone was trained with "
                    f"{tuple(trained)}: leave data.{name} at null, or set "
                    f"--model.classifier.preprocessing.{name} as well."
                )
        return FrameInput(
            self.mean or wanted.mean, self.std or wanted.std, self.frame_size or wanted.size
        )

    def resize_for(self, size: int) -> Resize:
        """Return the size of frames before they are cropped to ``size`` pixels.

        Args:
            size: Side of the crops.
        """
        if self.resize is not None:
            return self.resize
        return 256 if size <= 256 else round(size * 8 / 7)


def _close(given: Colour, trained: Colour) -> bool:
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(given, trained, strict=True))
