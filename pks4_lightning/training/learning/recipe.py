"""The training recipe, and the learning rate as a function of the step.

References:
    PKS⁴ (arXiv 2604.26461), Section 3.5.2 and Section 4.2: AdamW, cosine schedule with warm-up,
    lr scaled by the global batch, layer-wise lr decay with new modules exempt.
    BEiT (arXiv 2106.08254), Appendix: the layer-wise decay that video fine-tuning inherited.
"""

import math
from dataclasses import dataclass
from typing import Literal

from pks4_lightning.field_types import check_fields
from pks4_lightning.ranges import check_at_least, check_positive

__all__ = ["Recipe", "lr_factor"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a classifier is trained. The defaults are those of ViT-B/16 on Something-Something V2.

    Args:
        base_lr: Peak learning rate at 256 videos per optimiser step; the rate used is
            ``base_lr * videos_per_step / 256``. Repeats of a video do not count.
        min_lr: Minimum of the cosine, scaled in the same way.
        warmup_epochs: Length of the linear warm-up from 0. May be fractional.
        layer_decay: Factor on the learning rate per layer below the head (1: none). Embeddings
            are layer 0; new modules and the head train at the full rate.
        tower_rate: Additional factor on the learning rate of the tower's embeddings and blocks.
        embedding_rate: Learning rate of class, register and position embeddings: that of layer 0
            (``layer``), or the ``full`` one, as in ATM's code, whose name pattern misses them.
        weight_decay: AdamW's decoupled weight decay; none on 1-D parameters, embeddings,
            ``A_log`` and ``D``.
        decay_class_route: Apply weight decay to the class-token convolutions, which start as a
            shift rather than at zero. Off: none, as for embeddings.
        betas: AdamW's running-average factors.
        eps: AdamW's epsilon.
        reference_batch: Videos per optimiser step, from which gradient accumulation is resolved,
            given batch size and number of ranks. ``null`` leaves
            ``trainer.accumulate_grad_batches`` unchanged; so does any value other than 1 there.
        clips_per_pass: Number of clips of a batch that are processed at a time, to save memory. The
            gradient is that of the whole batch, for about a third more time. ``auto`` starts with
            all of them and halves the number when memory runs out. ``null``: all of them. If
            flexible training draws clips that cost more than ``data.num_frames`` and
            ``data.frame_size``, proportionally fewer are processed at a time.
        label_smoothing: Share of the target spread over all classes, 0 to 1.
        class_weights: Weight of each class in the loss: one number per class in the order of the
            labels, or ``balanced``, inversely proportional to the number of its training videos.
            ``null``: no weights. (``data.balanced`` samples small classes more often instead.)
        mixup_alpha: Beta parameter of mixup; 0 disables it.
        cutmix_alpha: Beta parameter of cutmix; 0 disables it.
        mix_prob: Probability that a batch is mixed.
        cutmix_prob: Probability of cutmix in a mixed batch if both are enabled.
        prefix_loss: Weight of the mean cross-entropy over all prefixes of a clip, added to that of
            the whole clip: a causal classifier learns to predict before the clip ends. 0: none.
        trains: What is trained: ``all`` parameters; ``after_insertion``, PKS^4 and the blocks after
            it, on tokens of a tower that is frozen up to block ``insert_after``; or the ``head``
            alone on frozen features, running statistics included, which is a linear probe.

    Raises:
        ValueError: If a value has the wrong type or lies outside its range.
    """

    base_lr: float = 7e-4
    min_lr: float = 1e-6
    warmup_epochs: float = 5.0
    layer_decay: float = 0.70
    tower_rate: float = 1.0
    embedding_rate: Literal["layer", "full"] = "layer"
    weight_decay: float = 0.05
    decay_class_route: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    reference_batch: int | None = 128
    clips_per_pass: int | Literal["auto"] | None = None
    label_smoothing: float = 0.1
    class_weights: Literal["balanced"] | list[float] | None = None
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    mix_prob: float = 1.0
    cutmix_prob: float = 0.5
    prefix_loss: float = 0.0
    trains: Literal["all", "after_insertion", "head"] = "all"

    def __post_init__(self) -> None:
        """Refuse values of the wrong type or outside their range."""
        check_fields(self, prefix="recipe.")
        check_positive(self._named("base_lr", "eps", "layer_decay"))
        not_negative = (
            *("min_lr", "warmup_epochs", "weight_decay", "mixup_alpha", "cutmix_alpha"),
            *("prefix_loss", "tower_rate"),
        )
        check_at_least(0, self._named(*not_negative))
        for name in ("label_smoothing", "mix_prob", "cutmix_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"recipe.{name} is {getattr(self, name)}; it must be from 0 to 1.")
        for k, beta in enumerate(self.betas):
            if not 0 <= beta < 1:
                raise ValueError(f"recipe.betas[{k}] is {beta}; it must be at least 0 and below 1.")
        if isinstance(self.class_weights, list):
            weights = enumerate(self.class_weights)
            check_at_least(0, {f"recipe.class_weights[{k}]": weight for k, weight in weights})
            if not any(self.class_weights):
                raise ValueError(
                    f"recipe.class_weights is {self.class_weights}; a weight must be above 0."
                )
        if self.layer_decay > 1:
            raise ValueError(f"recipe.layer_decay is {self.layer_decay}; it must be at most 1.")
        if self.min_lr > self.base_lr:
            raise ValueError(
                f"recipe.min_lr is {self.min_lr}; it must be at most recipe.base_lr "
                f"({self.base_lr})."
            )
        check_at_least(1, self._named("reference_batch"))
        if not isinstance(self.clips_per_pass, str):
            check_at_least(1, self._named("clips_per_pass"))

    def _named(self, *names: str) -> dict[str, float | None]:
        return {f"recipe.{name}": getattr(self, name) for name in names}


def lr_factor(step: int, *, total_steps: int, warmup_steps: int, floor: float) -> float:
    """Return the learning rate of an optimiser step as a share of its peak.

    Linear from 0 to 1 over the warm-up, then half a cosine from 1 down to ``floor``.

    Args:
        step: Optimiser steps taken so far, from 0.
        total_steps: Optimiser steps of the whole training.
        warmup_steps: Optimiser steps of the warm-up; the peak is reached at this step.
        floor: Lowest share of the peak after the warm-up, 0 to 1.

    Returns:
        The factor on the peak learning rate, 0 to 1. Beyond ``total_steps`` it stays at ``floor``.
    """
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
