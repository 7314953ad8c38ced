"""The one structure that crosses from data to training, and what training may ask of the data.

Dimensions:
    B: clips; all views of a video stand next to each other, in one batch of one rank
    C: RGB channels
    T: frames
    H, W: pixels
    L: tokens per frame
    E: width of a token
"""

from collections.abc import Callable, Collection, Sequence
from typing import (
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Protocol,
    TypeAlias,
    TypedDict,
    runtime_checkable,
)

from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "ClipSource",
    "Colour",
    "FrameInput",
    "Split",
    "Stage",
    "TokenEncoder",
    "VideoBatch",
]

Split: TypeAlias = Literal["train", "val", "test"]
"""A labelled part of a data set."""
Stage: TypeAlias = Literal["train", "val", "test", "predict"]
"""What a loader is for: a split, or videos without labels."""

Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue, from 0 to 1."""
CLIP_MEAN: Colour = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Colour = (0.26862954, 0.26130258, 0.27577711)
"""What OpenAI's CLIP was trained with (``clip/clip.py``, ``Normalize``)."""


class FrameInput(NamedTuple):
    """What frames are made into for a model."""

    mean: Colour
    """They are normalised with; for values from 0 to 1."""
    std: Colour
    size: int
    """Side of the square, in pixels."""

    def as_settings(self) -> dict[str, list[float] | int]:
        """Return plain values, as a configuration or a checkpoint holds them."""
        return {"mean": list(self.mean), "std": list(self.std), "size": self.size}


class TokenEncoder(NamedTuple):
    """The frozen blocks of a model, as the data sees them."""

    encode: Callable[[Float[Tensor, "B C T H W"]], Shaped[Tensor, "B T L E"]]
    """Makes tokens of normalised clips, in the precision that they are to be kept in."""
    identity: Callable[[], str]
    """Names all that the tokens depend on besides the clips, weights included."""


class VideoBatch(TypedDict):
    """Clips with their labels, as the data module hands them over.

    ``video`` arrives normalised with the model's mean and standard deviation; before
    ``on_after_batch_transfer`` it holds the raw pixels, 0 to 255. With a token cache it holds what
    the frozen blocks make of them.
    """

    video: Float[Tensor, "B C T H W"] | UInt8[Tensor, "B C T H W"] | Float[Tensor, "B T L E"]
    label: Int[Tensor, " B"]
    """Class index; -1 where the label is not known (``predict``)."""
    video_index: Int[Tensor, " B"]
    """Position of the video in its split's annotation list; equal for all views of a video."""
    view_index: Int[Tensor, " B"]
    """Clip number times the number of crops, plus the crop number."""
    valid: Bool[Tensor, " B"]
    """False on clips that only fill up a rank's last batch. They must not be counted."""
    draw_seed: Int[Tensor, " B"]
    """Seed of every random draw of this clip: a function of (seed, epoch, video, repeat) alone."""
    video_path: list[str]
    """Empty on clips that only fill up."""
    failure: list[str]
    """Why a video could not be decoded; such clips are blank and not valid. Empty elsewhere."""
    relative_cost: NotRequired[float]
    """Tokens of the batch, as a multiple of one whose scale is not drawn. Absent there."""
    patch_size: NotRequired[int]
    """Side of a patch in pixels, where the data draws it; elsewhere the model's rule holds."""


@runtime_checkable
class ClipSource(Protocol):
    """What the training side asks of a data module; :class:`VideoDataModule` is one."""

    batch_size: int
    """Videos per rank and micro-batch, repeats not counted."""
    label_names: list[str]
    token_cache: str | None
    """Folder of what frozen blocks make of clips; such clips come as tokens."""

    def encode_with(self, encoder: TokenEncoder) -> None:
        """Fill the token cache with what this makes, if there is one, before a loader is made."""
        ...

    def train_labels(self) -> Sequence[int]:
        """Class of every training video. Valid once ``setup("fit")`` has run."""
        ...

    def num_train_batches(self) -> int:
        """Micro-batches per epoch on each rank. Valid once ``setup("fit")`` has run."""
        ...

    def match_frames(self, wanted: FrameInput, *, is_known: bool) -> FrameInput:
        """Make frames as a model wants them where the settings leave it open, and say how.

        With ``is_known``, refuse to normalise them otherwise.
        """
        ...

    def match_patches(self, *, patch_size: int, grid_size: int | None) -> None:
        """Settle on frames that a model can cut into patches, or refuse."""
        ...

    def clip_settings(self) -> dict[str, Any]:
        """How test clips are made: plain values by the names of the data module's settings."""
        ...

    def mean_draws(self) -> dict[str, float]:
        """What flexible training draws on average; empty where all clips have one scale."""
        ...

    def match_labels(self, label_names: list[str]) -> None:
        """Number the classes as a model does, if the user asked for it."""
        ...

    def missing_videos(self, split: Stage) -> list[str]:
        """Videos that the annotations list and the disk does not hold. Valid after ``setup``."""
        ...

    def test_split(self) -> tuple[Split, str]:
        """The split that a test scores, and what lists it; the validation split if need be."""
        ...

    def leave_out(self, paths: Collection[str]) -> int:
        """Predict only the other videos; return how many those are. Valid after ``setup``."""
        ...

    def failed_train_videos(self) -> list[str]:
        """Training videos that could not be decoded so far on this rank, one sentence each."""
        ...

    def training_list(self) -> dict[str, int | str]:
        """What the order of the training videos depends on, by names that a user knows."""
        ...

    def resume_training(self, *, epoch: int, num_videos: int, failed: Sequence[str]) -> None:
        """Begin within an epoch, of which all ranks together have used some videos."""
        ...

    def refusal(self) -> str | None:
        """Why this rank cannot train on, if too many of them could not be decoded."""
        ...

    def videos_at_work(self) -> list[str]:
        """Videos that this rank's data workers are at."""
        ...

    def to_pixels(self, video: Float[Tensor, "B C T H W"]) -> UInt8[Tensor, "B T H W C"]:
        """Undo the normalisation, for a person to look at."""
        ...
