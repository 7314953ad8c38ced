"""A classifier traced into a graph of torch's own operators."""

from jaxtyping import Float
from torch import Tensor, export, nn, no_grad, zeros

from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.ops.backend import portable_ops

__all__ = ["trace"]


class _Clips(nn.Module):
    """The classifier without the arguments that a graph has settled."""

    def __init__(self, classifier: VideoClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, video: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B K"]:
        return self.classifier(video)


def trace(
    classifier: VideoClassifier, *, num_frames: int, frame_size: int
) -> export.ExportedProgram:
    """Trace a classifier for any number of clips of one length and size.

    Args:
        classifier: In evaluation mode, on the CPU.
        num_frames: Frames per clip.
        frame_size: Side of the square frames, in pixels.

    Returns:
        A program that loads and runs without this package; ``video`` goes in, logits come out.

    Raises:
        ValueError: If its scan has more steps than can be written out.
    """
    example = zeros(2, 3, num_frames, frame_size, frame_size)
    with no_grad(), portable_ops():
        # not strict: hooks are traced as they run
        return export.export(
            _Clips(classifier),
            (example,),
            dynamic_shapes={"video": {0: export.Dim("batch")}},
            strict=False,
        )
