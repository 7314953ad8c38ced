"""Compute how the cost grows with the length and the resolution of a clip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pks4_lightning.cost.flops import Flops, count_flops, total_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.config import PKS4Config

__all__ = [
    "NUM_FRAMES",
    "ScalingPoint",
    "crossover",
    "scale_frame_size",
    "scale_num_frames",
]

NUM_FRAMES = (1, 2, 4, 8, 16, 32, 64, 128)
_FRAME_SIZES = (112, 168, 224, 280, 336, 392, 448)


@dataclass(frozen=True)
class ScalingPoint:
    """Multiply-adds of one clip, including attention's two products."""

    num_frames: int
    frame_size: int
    """Side of a frame in pixels."""
    tower: int
    """The vision tower, class-token route and head, without attention's two products."""
    tower_attention: int
    """QK^T and AV in the tower, computed within each frame."""
    priors: int
    """The Kinematic Prior Encoder."""
    scanner: int
    """The KS4 scanner, in both directions if it is bidirectional."""
    attention_along_time: int
    """Cost of multi-head self-attention along time at every patch location instead."""
    attention_products: int
    """The part of it that is quadratic in length: products of every frame with every frame."""

    @property
    def total(self) -> int:
        """All operations of the classifier."""
        return self.tower + self.tower_attention + self.priors + self.scanner


def scale_num_frames(
    config: PKS4Config, *, frame_size: int, lengths: Sequence[int] = NUM_FRAMES
) -> Iterator[ScalingPoint]:
    """Count a classifier's operations as a function of clip length.

    Args:
        config: The classifier.
        frame_size: Side of a frame in pixels.
        lengths: Frames per clip.
    """
    classifier = _of_pks4(config)
    for num_frames in lengths:
        yield _count(classifier, num_frames, frame_size)


def scale_frame_size(config: PKS4Config, *, num_frames: int) -> Iterator[ScalingPoint]:
    """Count a classifier's operations for frames of 112 to 448 pixels.

    Args:
        config: The classifier. Sizes that its patches do not cover are rounded to the nearest.
        num_frames: Frames per clip.
    """
    classifier = _of_pks4(config)
    unit = classifier.grid_size or classifier.own_patch_size
    for size in _FRAME_SIZES:
        yield _count(classifier, num_frames, round(size / unit) * unit)


def crossover(point: ScalingPoint) -> float:
    """Return the clip length above which the scanner is cheaper than attention along time.

    The scanner's cost per frame is constant (except for the first frames of its convolution), that
    of attention is linear in the length; one point therefore determines both.

    Args:
        point: Any count.

    Returns:
        Number of frames at which both cost the same; below 1 if attention is never cheaper.
    """
    per_frame = point.attention_along_time / point.num_frames
    slope = point.attention_products / point.num_frames**2
    return (point.scanner / point.num_frames - per_frame) / slope + point.num_frames


def _of_pks4(config: PKS4Config) -> PKS4Classifier:
    classifier = meta_classifier(config)
    if not isinstance(classifier, PKS4Classifier):
        raise ValueError(
            f"--scaling is available for PKS⁴ in an image transformer only, not for "
            f"{config.network or config.temporal}: leave it out."
        )
    if config.use_scanner and config.scanner != "mamba":
        raise ValueError(
            f"--scaling compares the KS4 scanner with attention along time, but scanner is "
            f"{config.scanner}: leave --scaling out."
        )
    return classifier


def _count(classifier: PKS4Classifier, num_frames: int, frame_size: int) -> ScalingPoint:
    parts = count_flops(classifier, num_frames=num_frames, frame_size=frame_size)

    def of(*names: str) -> Flops:
        return total_flops({name: parts[name] for name in names if name in parts})

    tower = of("vision tower", "class-token route", "head")
    grid = classifier.grid_size or frame_size // classifier.own_patch_size
    num_locations, width = grid**2, classifier.d_model
    # One block of multi-head self-attention: projections to queries, keys, values and back, and the
    # preceding norm; then the products of queries with keys and of weights with values.
    products = num_locations * 2 * width * num_frames**2
    return ScalingPoint(
        num_frames=num_frames,
        frame_size=frame_size,
        tower=tower.paper,
        tower_attention=tower.attention,
        priors=of("correlation", "variation").paper,
        scanner=of("KS4 scanner", "backward scanner").paper,
        attention_along_time=num_locations * num_frames * (4 * width**2 + 5 * width) + products,
        attention_products=products,
    )
