"""The token cache of the data module: when it can be used, and what the tokens depend on."""

from dataclasses import asdict
from typing import Any

import av
from torch import Tensor

from pks4_lightning.batch import Stage, TokenEncoder
from pks4_lightning.data.clips.normalisation import Normalisation
from pks4_lightning.data.clips.sampling import SegmentClipSampler
from pks4_lightning.data.clips.scales import ClipScales
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.loading.stages import StageLoaders
from pks4_lightning.data.loading.token_dataset import TokenDataset
from pks4_lightning.data.loading.token_store import TokenStore

__all__ = ["TokenCache"]

_READER = 1
"""Version of the preprocessing; raised when decoding, scaling, cropping or augmentation change."""
_DRAWN_LATER = ("reverse", "reverse_label_pairs", "flip_label_pairs")
"""Augmentation settings that tokens do not depend on: each file records whether it is flipped."""


class TokenCache:
    """Stores the output of a model's frozen blocks for the clips.

    Args:
        folder: Where tokens are stored. ``None``: nowhere, and clips come as pixels.
        loaders: The loaders of the clips.
        scales: The scales of the clips.

    Raises:
        ValueError: If the clips are not drawn from a finite set.
    """

    encoder: TokenEncoder | None = None
    """The encoder of the model, once there is one."""

    def __init__(self, folder: str | None, loaders: StageLoaders, scales: ClipScales) -> None:
        self.folder = folder
        self.pool = loaders.pool
        self.augmentation = loaders.augmentation
        if folder is not None:
            self._check(loaders, scales)

    def _check(self, loaders: StageLoaders, scales: ClipScales) -> None:
        samplers = loaders.clip_samplers.values()
        ours = [each for each in samplers if isinstance(each, SegmentClipSampler)]
        num_crops = max((each.num_crops for each in ours), default=1)
        reason = None
        if self.pool.num_frames is None or self.pool.num_views is None:
            reason = (
                "a finite pool of pictures: set --data.pool.num_frames and num_views, such as "
                "24 and 12"
            )
        elif num_crops != 1:
            reason = f"a single crop, but data.num_crops is {num_crops}: set it to 1"
        elif scales.flexible.anything:
            reason = "clips of one scale: leave data.flexible out"
        elif len(ours) < len(samplers):
            reason = (
                "clips that are spread over the whole video: leave data.frame_rate, "
                "data.train_sampler and the like out"
            )
        if reason is not None:
            raise ValueError(f"data.token_cache needs {reason}.")

    def store(
        self, stage: Stage, scales: ClipScales, normalisation: Normalisation
    ) -> TokenStore | None:
        """Return the token store for these settings and the current encoder.

        Args:
            stage: Videos to predict are rarely seen twice and are not stored.
            scales: The scales of the clips.
            normalisation: The normalisation of the pixels.

        Returns:
            The store; ``None`` if clips come as pixels, or while there is no model.
        """
        if self.folder is None or self.encoder is None or stage == "predict":
            return None
        changes = asdict(self.augmentation)
        terms: dict[str, Any] = {
            "reader": [_READER, av.__version__],
            "model": self.encoder.identity(),
            "num_frames": self.pool.num_frames,
            "frame_size": scales.frame_size,
            "resize": scales.resize,
            "mean": normalisation.mean,
            "std": normalisation.std,
            "augmentation": {k: v for k, v in changes.items() if k not in _DRAWN_LATER},
        }
        return TokenStore(self.folder, terms)

    def fill(self, dataset: VideoDataset, normalisation: Normalisation) -> None:
        """Compute the tokens that the store of a dataset lacks.

        Args:
            dataset: The clips of a stage; a dataset of pixels has no store.
            normalisation: The normalisation of the pixels.
        """
        encoder = self.encoder
        if not isinstance(dataset, TokenDataset):
            return
        assert encoder is not None

        def encode(video: Tensor) -> Tensor:
            return encoder.encode(normalisation.normalise(video.float() / 255))

        dataset.fill(encode)
