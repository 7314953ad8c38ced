"""Traces a classifier, or its streaming step, into a graph of torch's own operators."""

import re
from typing import Any

from jaxtyping import Float
from torch import Tensor, export, nn, no_grad, zeros
from torch.utils import _pytree as pytree

from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.models.video_classifier import VideoClassifier
from pks4_lightning.ops.backend import portable_ops

__all__ = ["StateLayout", "trace", "trace_step"]


class StateLayout:
    """Converts the state of a classifier's streams to a flat list of named tensors and back.

    Args:
        classifier: A classifier that can process a stream.
        frame_size: Side of the frames, in pixels.

    Raises:
        ValueError: If it cannot, or answers with a delay; the message names the setting.
    """

    def __init__(self, classifier: VideoClassifier, *, frame_size: int) -> None:
        if not isinstance(classifier, PKS4Classifier):
            raise ValueError(
                "This classifier is not PKS⁴'s and keeps no state of a stream: export it without "
                "--step."
            )
        if classifier.delay:
            raise ValueError(
                f"This classifier answers {classifier.delay} frames late, and a step answers at "
                "once: train with model.classifier.causal true, or export it without --step."
            )
        self.classifier = classifier
        self.frame_size = frame_size
        state = classifier.initial_state(2, size=frame_size)
        leaves, self._spec = pytree.tree_flatten_with_path(state)
        self.shapes = {_name(path): tuple(leaf.shape[1:]) for path, leaf in leaves}
        """Shapes of the tensors for one stream, by name and in order."""

    def initial(self, num_streams: int) -> list[Tensor]:
        """Return the tensors before the first frame, which are zeros."""
        return [zeros(num_streams, *shape) for shape in self.shapes.values()]

    def nested(self, tensors: tuple[Tensor, ...]) -> Any:
        """Return the tensors in the classifier's structure."""
        return pytree.tree_unflatten(tensors, self._spec)


def _name(path: Any) -> str:
    """Turn a path such as ``.modules[0].scan`` into a name that every format accepts."""
    return re.sub(r"\W+", "_", pytree.keystr(path)).strip("_")


class _Clips(nn.Module):
    """The classifier without the arguments that are constant in the graph."""

    def __init__(self, classifier: VideoClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, video: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B K"]:
        return self.classifier(video)


class _Step(nn.Module):
    """The classifier's step with a flat state."""

    def __init__(self, layout: StateLayout) -> None:
        super().__init__()
        self.classifier = layout.classifier
        self._layout = layout

    def forward(self, frame: Float[Tensor, "B C H W"], *state: Tensor) -> tuple[Tensor, ...]:
        logits, after = self.classifier.step(frame, self._layout.nested(state))
        return (logits, *pytree.tree_leaves(after))


def trace(
    classifier: VideoClassifier, *, num_frames: int, frame_size: int
) -> export.ExportedProgram:
    """Trace a classifier for any number of clips of a fixed length and size.

    Args:
        classifier: In evaluation mode, on the CPU.
        num_frames: Frames per clip.
        frame_size: Side of the square frames, in pixels.

    Returns:
        A program that loads and runs without this package; it maps ``video`` to logits.

    Raises:
        ValueError: If its scan has too many steps to be written out.
    """
    example = zeros(2, 3, num_frames, frame_size, frame_size)
    dynamic = {"video": {0: export.Dim("batch")}}
    return _traced(_Clips(classifier), (example,), dynamic)


def trace_step(layout: StateLayout) -> export.ExportedProgram:
    """Trace a classifier's step for any number of streams of any length.

    Args:
        layout: State layout of a classifier in evaluation mode, on the CPU.

    Returns:
        A program that loads and runs without this package. It takes the next ``frame`` of every
        stream, B 3 H W, and the tensors of the state, and returns logits and the tensors of the
        next state.
    """
    streams = export.Dim("streams")
    inputs = (zeros(2, 3, layout.frame_size, layout.frame_size), *layout.initial(2))
    dynamic = {"frame": {0: streams}, "state": tuple({0: streams} for _ in layout.shapes)}
    return _traced(_Step(layout), inputs, dynamic)


def _traced(
    module: nn.Module, inputs: tuple[Tensor, ...], dynamic: dict[str, Any]
) -> export.ExportedProgram:
    with no_grad(), portable_ops():
        # not strict, because hooks can only be traced while they run
        return export.export(module, inputs, dynamic_shapes=dynamic, strict=False)
