"""Proof that an exported file answers as the classifier that it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pks4_lightning.export.run import load_model
from pks4_lightning.models.video_classifier import VideoClassifier

__all__ = ["TOLERANCE", "measure_parity"]

TOLERANCE = 1e-4
"""Of a logit, absolute: a thousand times what float32 rounds, far below what turns a label."""
_BATCHES = (1, 3, 4)


def measure_parity(
    folder: Path, classifier: VideoClassifier, *, num_frames: int, frame_size: int
) -> dict[str, Any]:
    """Compare an export with its classifier on random clips, in batches of several sizes.

    The file is loaded by the script that is shipped beside it.

    Args:
        folder: The export.
        classifier: In evaluation mode, on the CPU.
        num_frames: Frames per clip.
        frame_size: Side of the frames, in pixels.

    Returns:
        Largest differences of a logit, how they were found, and what they are measured against.
    """
    model = load_model(folder)
    draw = torch.Generator().manual_seed(0)
    difference = largest = 0.0
    for batch in _BATCHES:
        # colours last in memory, as the script makes them out of pictures
        clips = torch.randn(batch, num_frames, frame_size, frame_size, 3, generator=draw)
        clips = clips.permute(0, 4, 1, 2, 3)
        with torch.inference_mode():
            expected = classifier(clips).numpy()
        # a number that is none would be lost in max()
        difference = float(np.max([difference, np.abs(model(clips.numpy()) - expected).max()]))
        largest = max(largest, float(np.abs(expected).max()))
    return {
        "max_abs_difference": difference,
        "tolerance": TOLERANCE,
        "largest_logit": largest,
        "num_clips": sum(_BATCHES),
        "batches": list(_BATCHES),
    }
