"""How the cost grows with the length and the resolution of a clip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pks4_lightning.cost.flops import Flops, count_flops, total_flops
from pks4_lightning.cost.parameters import describe
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
    """The operations of one clip; multiply-adds, attention's two products included."""

    num_frames: int
    frame_size: int
    """Side of a frame in pixels."""
    tower: int
    """The vision tower without its attention's two products, with class-token route and head."""
    tower_attention: int
    """QK^T and AV in the tower: within frames, never between them."""
    priors: int
    """The Kinematic Prior Encoder."""
    scanner: int
    """KS4, both directions if there are two."""
    attention_along_time: int
    """What multi-head self-attention along time at every patch location would take instead."""
    attention_products: int
    """Of that, the two products of every frame with every frame, quadratic in the length."""

    @property
    def total(self) -> int:
        """Everything the classifier does."""
        return self.tower + self.tower_attention + self.priors + self.scanner


def scale_num_frames(
    config: PKS4Config, *, frame_size: int, lengths: Sequence[int] = NUM_FRAMES
) -> Iterator[ScalingPoint]:
    """Count a classifier's operations over clip lengths.

    Args:
        config: The classifier.
        frame_size: Side of a frame in pixels.
        lengths: Frames per clip.
    """
    classifier = _described(config)
    for num_frames in lengths:
        yield _count(classifier, num_frames, frame_size)


def scale_frame_size(config: PKS4Config, *, num_frames: int) -> Iterator[ScalingPoint]:
    """Count a classifier's operations over frames of 112 to 448 pixels.

    Args:
        config: The classifier. Where its patches do not cover a size, the nearest that they do.
        num_frames: Frames per clip.
    """
    classifier = _described(config)
    unit = classifier.grid_size or classifier.own_patch_size
    for size in _FRAME_SIZES:
        yield _count(classifier, num_frames, round(size / unit) * unit)


def crossover(point: ScalingPoint) -> float:
    """Return the clip length from which the scanner takes less than attention along time.

    The scanner's cost per frame is the same at every length (but for the first frames of its
    convolution), that of attention a line; one point gives both.

    Args:
        point: Any count.

    Returns:
        Frames at which both cost the same; less than 1 where attention never is the cheaper.
    """
    per_frame = point.attention_along_time / point.num_frames
    slope = point.attention_products / point.num_frames**2
    return (point.scanner / point.num_frames - per_frame) / slope + point.num_frames


def _described(config: PKS4Config) -> PKS4Classifier:
    classifier = describe(config)
    if not isinstance(classifier, PKS4Classifier):
        raise ValueError(
            f"The scaling is that of PKS⁴ in an image transformer, not of "
            f"{config.network or config.temporal}: leave --scaling out."
        )
    if config.use_scanner and config.scanner != "mamba":
        raise ValueError(
            f"The scaling sets the KS4 scanner beside attention along time, and scanner is "
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
    # of a block of multi-head self-attention: projections to queries, keys, values and back, the
    # norm in front; and queries times keys, weights times values
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
