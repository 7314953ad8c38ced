"""Preprocessing of an exported model, as numbers that a short script can follow.

Dimensions:
    N: frames of the video
    T: frames of a clip
"""

from dataclasses import asdict

from pks4_lightning.export.graph import StateLayout
from pks4_lightning.export.scripts.clips import MIDDLE
from pks4_lightning.models.pretrained import ClipInput
from pks4_lightning.training.checkpoints.trained import Trained

__all__ = ["clip_preprocessing", "step_preprocessing"]

_PIXELS = "float32, RGB from 0 to 1, less mean, divided by std"
_SEGMENTS = "frame t of clip k is number floor(N positions[k][t]) of the N frames of a video"
_RATE = (
    "frame t of clip k is the one on screen starts[k] max(0, L - (T - 1) / frame_rate) + "
    "t / frame_rate seconds after the first, which is L seconds before the last"
)
_CROPS = (
    "shares of the spare pixels before the crop, rounded, along the longer side of the scaled "
    "frame; half of them, rounded down, along the other"
)


def clip_preprocessing(trained: Trained) -> dict[str, object]:
    """Return the content of ``preprocessing.json`` for a model of clips.

    Args:
        trained: The classifier with its preprocessing.
    """
    clip, num_clips, num_crops = trained.clip, trained.num_clips, trained.num_crops
    parts = num_clips + 1
    steps = range(clip.num_frames)
    ends = [crop / (num_crops - 1) for crop in range(num_crops)] if num_crops > 1 else [MIDDLE]
    return {
        "input": f"video: B C T H W, {_PIXELS}",
        "output": "logits: float32, B K, classes in the order of labels.txt",
        **_frames(clip),
        "num_frames": clip.num_frames,
        "frame_rate": clip.frame_rate,
        "sampling": _SEGMENTS if clip.frame_rate is None else _RATE,
        "starts": [(k + 1) / parts for k in range(num_clips)],
        "positions": [
            [(t * parts + k + 1) / (clip.num_frames * parts) for t in steps]
            for k in range(num_clips)
        ],
        "cropping": _CROPS,
        "crops": ends,
    }


def step_preprocessing(trained: Trained, layout: StateLayout) -> dict[str, object]:
    """Return the content of ``preprocessing.json`` for a streaming step.

    Args:
        trained: The classifier with its preprocessing.
        layout: Layout of its state.
    """
    clip = trained.clip
    return {
        "input": f"frame: B C H W, {_PIXELS}; then the state, B and the shapes below",
        "output": "logits of all frames so far: float32, B K, classes in the order of labels.txt; "
        "then the state after the frame, in the same order",
        **_frames(clip),
        "frame_rate": clip.stream_rate,
        "cropping": "the middle, rounded down",
        "state": {name: list(shape) for name, shape in layout.shapes.items()},
    }


def _frames(clip: ClipInput) -> dict[str, object]:
    names = ("resize", "frame_size", "mean", "std")
    return {name: asdict(clip)[name] for name in names}
