"""Checks that an exported file gives the same output as its classifier."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pks4_lightning.export.graph import StateLayout
from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["TOLERANCE", "clip_parity", "stream_parity"]

TOLERANCE = 1e-4
"""Largest absolute difference of a logit: far above float32 rounding, far below label changes."""
_BATCHES = (1, 3, 4)
_STREAMS = {1: 50, 3: 10}
"""Number of streams that are compared, and number of frames in each."""

_Model = Callable[..., list[np.ndarray]]


def clip_parity(
    model: _Model, classifier: VideoClassifier, *, num_frames: int, frame_size: int
) -> dict[str, Any]:
    """Compare an export with its classifier on random clips, in batches of several sizes.

    Args:
        model: The file, loaded in the same way as by its script.
        classifier: In evaluation mode, on the CPU.
        num_frames: Frames per clip.
        frame_size: Side of the frames, in pixels.

    Returns:
        Largest differences of a logit, how they were measured, and the tolerance.
    """
    pairs = []
    for clips in _random_clips(dict.fromkeys(_BATCHES, num_frames), frame_size):
        with torch.inference_mode():
            expected = classifier(clips).numpy()
        pairs.append((model(clips.numpy())[0], expected))
    return _compared(pairs) | {"num_clips": sum(_BATCHES), "batches": list(_BATCHES)}


def stream_parity(model: _Model, layout: StateLayout) -> dict[str, Any]:
    """Compare an exported step with its classifier after every frame of random streams.

    Args:
        model: The file, loaded in the same way as by its script.
        layout: State layout of the classifier, which is in evaluation mode and on the CPU.

    Returns:
        The same entries as :func:`clip_parity`.
    """
    classifier, frame_size = layout.classifier, layout.frame_size
    pairs = []
    for streams in _random_clips(_STREAMS, frame_size):
        state = classifier.initial_state(len(streams), size=frame_size)
        exported = [each.numpy() for each in layout.initial(len(streams))]
        for frame in streams.unbind(2):
            with torch.inference_mode():
                expected, state = classifier.step(frame, state)
            logits, *exported = model(frame.numpy(), *exported)
            pairs.append((logits, expected.numpy()))
    return _compared(pairs) | {"frames_of_streams": {str(n): t for n, t in _STREAMS.items()}}


def _random_clips(sizes: dict[int, int], side: int) -> list[Tensor]:
    """Return random clips with the given numbers and lengths."""
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, frames, side, side, generator=draw) for n, frames in sizes.items()]


def _compared(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    # max() would ignore NaN
    differences = [np.abs(found - expected).max() for found, expected in pairs]
    return {
        "max_abs_difference": float(np.max(differences)),
        "tolerance": TOLERANCE,
        "largest_logit": max(float(np.abs(expected).max()) for _, expected in pairs),
    }
