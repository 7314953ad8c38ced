"""The batch that passes from data to training, and the interface that training has to the data.

Dimensions:
    B: clips; all views of a video are adjacent, in one batch of one rank
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
"""What a loader is for: one of the splits, or videos to predict."""
Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue, in [0, 1]."""
CLIP_MEAN: Colour = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Colour = (0.26862954, 0.26130258, 0.27577711)
"""Normalisation used to train OpenAI's CLIP (``clip/clip.py``, ``Normalize``)."""


class FrameInput(NamedTuple):
    """The form in which a model expects its frames."""

    mean: Colour
    """Mean and standard deviation for normalising values in [0, 1]."""
    std: Colour
    size: int
    """Side of the square, in pixels."""

    def as_settings(self) -> dict[str, list[float] | int]:
        """Return plain values, as stored in a configuration or a checkpoint."""
        return {"mean": list(self.mean), "std": list(self.std), "size": self.size}


class TokenEncoder(NamedTuple):
    """The frozen blocks of a model, in the form the data module uses them."""

    encode: Callable[[Float[Tensor, "B C T H W"]], Shaped[Tensor, "B T L E"]]
    """Turns normalised clips into tokens, in the precision in which they are stored."""
    identity: Callable[[], str]
    """Fingerprint of everything besides the clips that the tokens depend on, including weights."""


class VideoBatch(TypedDict):
    """Clips with their labels, as delivered by the data module.

    ``video`` is normalised with the model's mean and standard deviation; before
    ``on_after_batch_transfer`` it holds raw pixels, 0 to 255. With a token cache it holds the
    tokens computed by the frozen blocks.
    """

    video: Float[Tensor, "B C T H W"] | UInt8[Tensor, "B C T H W"] | Float[Tensor, "B T L E"]
    label: Int[Tensor, " B"]
    """Class index; -1 if the label is unknown (``predict``)."""
    video_index: Int[Tensor, " B"]
    """Position of the video in the annotation list of its split; equal for all its views."""
    view_index: Int[Tensor, " B"]
    """Clip index times the number of crops, plus the crop index."""
    valid: Bool[Tensor, " B"]
    """False for padding clips, which complete a rank's last batch and must not be counted."""
    draw_seed: Int[Tensor, " B"]
    """Seed of all random draws for this clip; depends only on (seed, epoch, video, repeat)."""
    changes: list[str]
    """How a training clip differs from its video: ``mirrored``, ``backwards``, both or nothing."""
    video_path: list[str]
    """Path of the video; empty for padding clips."""
    failure: list[str]
    """Why a video could not be decoded (its clip is blank and not valid); otherwise empty."""
    relative_cost: NotRequired[float]
    """Tokens of a clip relative to one at the fixed scale. Absent if the scale is fixed."""
    whole_batch: NotRequired[int]
    """Clips of the batch before some were dropped for their cost. Absent if none are."""
    patch_size: NotRequired[int]
    """Side of a patch in pixels if the data draws it at random; otherwise the model decides."""


@runtime_checkable
class ClipSource(Protocol):
    """What training requires of a data module; :class:`VideoDataModule` implements it."""

    batch_size: int
    """Videos per rank and micro-batch, not counting repeats."""
    label_names: list[str]
    token_cache: str | None
    """Folder in which the tokens of clips are cached; clips are then delivered as tokens."""

    def encode_with(self, encoder: TokenEncoder) -> None:
        """Fill the token cache, if there is one, with this encoder, before a loader is made."""
        ...

    def train_labels(self) -> Sequence[int]:
        """Class of every training video. Valid once ``setup("fit")`` has run."""
        ...

    def num_train_batches(self) -> int:
        """Micro-batches per epoch on each rank. Valid once ``setup("fit")`` has run."""
        ...

    def match_frames(self, wanted: FrameInput, *, is_known: bool) -> FrameInput:
        """Settle the frame settings left open by the user on what the model wants; return them.

        With ``is_known``, refuse a different normalisation.
        """
        ...

    def match_patches(self, *, patch_size: int, grid_size: int | None) -> None:
        """Choose a frame size that the model can cut into patches, or refuse."""
        ...

    def clip_settings(self) -> dict[str, Any]:
        """How test clips are made: plain values under the names of the data module's settings."""
        ...

    def mean_draws(self) -> dict[str, float]:
        """Averages of what flexible training draws at random; empty if all clips have one scale."""
        ...

    def match_labels(self, label_names: list[str]) -> None:
        """Number the classes as the model does, if the user asked for it."""
        ...

    def missing_videos(self, split: Stage) -> list[str]:
        """Videos that are listed in the annotations but missing on disk. Valid after ``setup``."""
        ...

    def test_split(self) -> tuple[Split, str]:
        """The split that a test scores (validation if there is no test split) and its source."""
        ...

    def leave_out(self, paths: Collection[str]) -> int:
        """Predict all videos except these; return how many remain. Valid after ``setup``."""
        ...

    def failed_train_videos(self) -> list[str]:
        """Training videos that this rank has failed to decode so far, one sentence each."""
        ...

    def training_list(self) -> dict[str, Any]:
        """What training clips and their order depend on: plain values under names a user knows."""
        ...

    def resume_training(self, *, epoch: int, num_videos: int, failed: Sequence[str]) -> None:
        """Resume within an epoch of which all ranks together have used ``num_videos`` videos."""
        ...

    def refusal(self) -> str | None:
        """Why this rank cannot continue training, if too many videos could not be decoded."""
        ...

    def videos_at_work(self) -> list[str]:
        """Videos that this rank's data workers are processing."""
        ...

    def to_pixels(self, video: Float[Tensor, "B C T H W"]) -> UInt8[Tensor, "B T H W C"]:
        """Undo the normalisation, for display."""
        ...
