"""Count the exact number of operations of a forward pass without running it.

torch's own counter runs on the meta device. Operators that it does not know are registered: the
selective scan and the scanner's convolution beside their operators, normalisation here. The
correlation is counted as it is computed, as products of whole rows of patches with whole rows of
the window.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["Flops", "count_flops", "total_flops"]

# operations per element, chosen to match the paper's numbers
_NORM_FLOPS = 5


@dataclass(frozen=True)
class Flops:
    """Operations of a forward pass in the field's convention: one multiply-add counts as one.

    Both totals omit pointwise operations: activations, residuals, softmax, batch normalisation, and
    the three taps of the class-token route.
    """

    matmuls: int = 0
    """Multiply-adds of linear layers, convolutions and the correlation's product."""
    attention: int = 0
    """Multiply-adds of QK^T and of the attention weights times V."""
    scan: int = 0
    """9 per channel, state and step of the selective scan."""
    norm: int = 0
    """5 per element of a layer normalisation's input."""

    @property
    def paper(self) -> int:
        """All but the attention's two products: the convention that the paper's tables follow."""
        return self.matmuls + self.scan + self.norm

    @property
    def all_matmuls(self) -> int:
        """All operations, including the attention's two products."""
        return self.paper + self.attention


def count_flops(
    classifier: VideoClassifier, *, num_frames: int, frame_size: int
) -> dict[str, Flops]:
    """Count the operations of each part in the forward pass of one clip.

    Args:
        classifier: On the meta device (:func:`~pks4_lightning.cost.meta.meta_classifier`).
        num_frames: Frames of the clip.
        frame_size: Side of a frame in pixels, a multiple of the patch size.

    Returns:
        Maps parts to operations; they sum to the whole classifier. If patches must be resized to
        fit the frames, there is also ``patch resize``.

    Raises:
        ValueError: If patches do not cover a frame.
    """
    formulas = {torch.ops.aten.native_layer_norm: _count_norm}
    clip = torch.empty(1, 3, num_frames, frame_size, frame_size, device="meta")
    was_training = classifier.training
    classifier.eval()  # batch normalisation cannot be trained with a single value per channel
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    try:
        with torch.no_grad(), counter:
            classifier(clip)
    finally:
        classifier.train(was_training)
    by_module = counter.get_flop_counts()
    names = {module: name for name, module in classifier.named_modules()}
    root = type(classifier).__name__

    def counted(module: nn.Module) -> Counter[str]:
        path = f"{root}.{names[module]}"
        if path in by_module:
            return Counter(_named(by_module[path]))
        # hooks call its children
        return sum((counted(child) for child in module.children()), Counter())

    operators = {
        part: sum((counted(module) for module in modules), Counter())
        for part, modules in classifier.parts().items()
    }
    for part in classifier.parts_within():  # they run in the tower's hooks, so it counted them too
        operators["vision tower"].subtract(operators[part])
    parts = {
        part: _by_kind(counts, has_attention=part != "correlation")
        for part, counts in operators.items()
    }
    resize = Counter(_named(by_module[root]))
    resize.subtract(sum(operators.values(), Counter()))
    if any(resize.values()):
        parts["patch resize"] = _by_kind(+resize, has_attention=False)
    return parts


def total_flops(parts: Mapping[str, Flops]) -> Flops:
    """Sum the parts returned by :func:`count_flops`.

    Args:
        parts: Operations by part.
    """
    kinds = Counter[str]()
    for flops in parts.values():
        kinds.update(asdict(flops))
    return Flops(**kinds)


def _named(counts: Mapping[Any, int]) -> dict[str, int]:
    return {str(operator): flops for operator, flops in counts.items()}


def _by_kind(operators: Mapping[str, int], *, has_attention: bool) -> Flops:
    """Sort operators by kind; batched products are attention's, except the correlation's own."""
    kinds = Counter[str]()
    for name, flops in operators.items():
        if "selective_scan" in name:
            kinds["scan"] += flops
        elif "layer_norm" in name:
            kinds["norm"] += flops
        elif has_attention and ("bmm" in name or "attention" in name):
            kinds["attention"] += flops // 2
        else:
            kinds["matmuls"] += flops // 2  # torch counts a multiply-add as two
    return Flops(**kinds)


def _count_norm(x: Sequence[int], *_: Any, **__: Any) -> int:
    return _NORM_FLOPS * math.prod(x)
