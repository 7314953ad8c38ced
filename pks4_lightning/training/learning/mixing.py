"""Mixup and cutmix of clips: one draw per batch, the same box in all frames.

References:
    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017, https://arxiv.org/abs/1710.09412.
    Yun et al., "CutMix", 2019, https://arxiv.org/abs/1905.04899.

Dimensions:
    B: clips
    C: RGB channels
    T: frames
    H, W: pixels
    K: classes
"""

import logging
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from pks4_lightning.training.learning.recipe import Recipe

__all__ = ["TwinWarning", "mix_clips"]

logger = logging.getLogger(__name__)


def mix_clips(
    video: Float[Tensor, "B ..."],
    label: Int[Tensor, " B"],
    *,
    num_classes: int,
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "B ..."], Float[Tensor, "B K"]]:
    """Mix each clip with its partner in the reversed batch, and their labels in the same ratio.

    Args:
        video: Normalised clips, which are not modified.
        label: Class index of each clip.
        num_classes: Number of classes K.
        recipe: Supplies ``mixup_alpha``, ``cutmix_alpha``, ``mix_prob`` and ``cutmix_prob``.
        rng: Source of the draws; the same state gives the same mixture.

    Returns:
        The mixed clips and the label distributions, rows summing to 1. If the batch is not mixed,
        the clips as given and one-hot labels.
    """
    one_hot = F.one_hot(label, num_classes).to(video.dtype)
    if rng.random() >= recipe.mix_prob or recipe.mixup_alpha == recipe.cutmix_alpha == 0:
        return video, one_hot
    use_cutmix = recipe.cutmix_alpha > 0 and (
        recipe.mixup_alpha == 0 or rng.random() < recipe.cutmix_prob
    )
    if use_cutmix:
        own_share = float(rng.beta(recipe.cutmix_alpha, recipe.cutmix_alpha))
        rows, columns = _box(video.shape[-2], video.shape[-1], 1 - own_share, rng)
        mixed = video.clone()
        mixed[..., rows, columns] = video.flip(0)[..., rows, columns]
        box_area = (rows.stop - rows.start) * (columns.stop - columns.start)
        own_share = 1 - box_area / (video.shape[-2] * video.shape[-1])
    else:
        own_share = float(rng.beta(recipe.mixup_alpha, recipe.mixup_alpha))
        mixed = own_share * video + (1 - own_share) * video.flip(0)
    return mixed, own_share * one_hot + (1 - own_share) * one_hot.flip(0)


class TwinWarning:
    """Warns once if clips are mixed with clips of the same video, which has no effect.

    A clip is paired with its mirror position in the batch. With repeated augmentation, the clips of
    a video are adjacent, so with an odd number of videos the middle one is mixed with itself.
    """

    def __init__(self) -> None:
        self._is_due = True

    def watch(self, video_path: Sequence[str], recipe: Recipe) -> None:
        """Check a batch.

        Args:
            video_path: Paths of its clips, in order.
            recipe: Determines whether batches are mixed.
        """
        mixes = recipe.mix_prob > 0 and max(recipe.mixup_alpha, recipe.cutmix_alpha) > 0
        if not self._is_due or not mixes:
            return
        half = len(video_path) // 2
        pairs = list(zip(video_path, reversed(video_path), strict=True))[:half]
        twins = [one for one, other in pairs if one == other]
        if twins:
            self._is_due = False
            logger.warning(
                "Mixup and cutmix mix clips of one video with each other, in %d of the %d pairs of "
                "a batch (such as '%s'): an even --data.batch_size avoids it.",
                len(twins),
                half,
                twins[0],
            )


def _box(height: int, width: int, area: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw a box with about the given share of the frame's area, clipped at its border."""
    side = area**0.5
    box_height, box_width = int(height * side), int(width * side)
    centre_y, centre_x = int(rng.integers(height)), int(rng.integers(width))
    top, left = centre_y - box_height // 2, centre_x - box_width // 2
    return (
        slice(max(0, top), min(height, top + box_height)),
        slice(max(0, left), min(width, left + box_width)),
    )
