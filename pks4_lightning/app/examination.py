"""Results that the page shows: labels, the frames used, the priors' output, the timeline.

Dimensions:
    T: frames of a view
    S: side of the model's square input
"""

import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from pks4_lightning.data.clips.sampling import View
from pks4_lightning.data.video.video import Video
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.models.classifier import PKS4Classifier
from pks4_lightning.pictures.priors import has_priors, prior_figure, prior_maps
from pks4_lightning.pictures.timeline import timeline_figure
from pks4_lightning.timeline.formats import Labelled
from pks4_lightning.timeline.labelling import find_timeline
from pks4_lightning.timeline.row_file import RowFile
from pks4_lightning.training.scoring.predictions import Label, best_labels

__all__ = [
    "Answer",
    "Description",
    "ShownView",
    "Timeline",
    "clock",
    "describe",
    "examine",
    "picture_priors",
    "watch",
]

_NUM_BEST = 5
_MOST_VIEWS = 6
_BATCH_SIZE = 16
_USUAL_SECONDS = 4.0
"""Roughly the length of a clip of Something-Something, in seconds."""
_MOST_WINDOWS = 120
"""Most windows of a timeline; in longer videos they are further apart."""
_DOTS_PER_INCH = 144


class Description(NamedTuple):
    """What the page shows about the model."""

    kind: str
    """A short description."""
    label_names: list[str]
    window: float
    """Length of its training clips in seconds; 4 if they had no fixed length."""


class ShownView(NamedTuple):
    """A view of a video as the model's input."""

    name: str
    """Which view it is; empty if there is only one."""
    seconds: list[float]
    """Times of its frames."""
    frames: UInt8[np.ndarray, "T S S 3"]


class Answer(NamedTuple):
    """A classifier's prediction for a video, with its input."""

    duration: float
    """Seconds."""
    num_frames: int
    best: list[Label]
    num_views: int
    """Number of views that were averaged."""
    views: list[ShownView]
    """The first views, at most six."""


class Timeline(NamedTuple):
    """The labels of a long video over time."""

    segments: list[Labelled]
    picture: str
    """SVG."""


def describe(model: TrainedClassifier) -> Description:
    """Describe a model for the page.

    Args:
        model: The classifier with its preprocessing.
    """
    clip = model.clip
    rate = f" at {clip.frame_rate:g} per second" if clip.frame_rate else " spread over the video"
    kind = (
        f"{type(model.classifier).__name__}: {len(clip.label_names)} classes, clips of "
        f"{clip.num_frames} frames{rate}, {clip.frame_size} × {clip.frame_size} pixels"
    )
    window = clip.num_frames / clip.frame_rate if clip.frame_rate else _USUAL_SECONDS
    return Description(kind, list(clip.label_names), window)


def examine(model: TrainedClassifier, path: str, name: str) -> Answer:
    """Label a video as `pks4 predict` does, and keep the model's input.

    Args:
        model: The classifier with its preprocessing.
        path: The file.
        name: The file name used in messages.

    Raises:
        ValueError: If the file cannot be decoded, or holds a single image.
    """
    video = Video(path, name)
    views = model.views(video)
    if video.num_frames < 2:
        raise ValueError(f"'{name}' holds a single image: a video has at least two frames.")
    clips = model.normalise(torch.stack([pixels for _, pixels in views]))
    scores = model.scores(clips, batch_size=_BATCH_SIZE)
    return Answer(
        duration=video.duration,
        num_frames=video.num_frames,
        best=best_labels(scores, model.label_names, num_best=_NUM_BEST)[0],
        num_views=len(views),
        views=[_shown(view, pixels, video, len(views)) for view, pixels in views[:_MOST_VIEWS]],
    )


@torch.inference_mode()
def picture_priors(model: TrainedClassifier, view: ShownView) -> str | None:
    """Draw what the priors find in a view, as SVG; ``None`` if there is nothing to draw.

    Args:
        model: The classifier.
        view: The view.
    """
    classifier = model.classifier
    if not isinstance(classifier, PKS4Classifier) or not has_priors(classifier):
        return None
    if len(view.frames) < 2:  # the model takes single frames
        return None
    pixels = torch.from_numpy(view.frames).permute(3, 0, 1, 2)
    with model.autocast():
        maps = prior_maps(classifier, model.normalise(pixels[None]))
    return _svg(prior_figure(view.frames, maps, captions=clock(view.seconds)))


def watch(model: TrainedClassifier, path: str, name: str, *, window: float) -> Timeline:
    """Label a video over time.

    Windows overlap by half, unless that would make more than 120 of them.

    Args:
        model: The classifier with its preprocessing.
        path: The file.
        name: The file name used in messages.
        window: Length of a window in seconds.

    Raises:
        ValueError: If the file cannot be decoded, or a window is shorter than one of its frames.
    """
    video = Video(path, name)
    with TemporaryDirectory() as folder:
        found = find_timeline(
            model,
            video,
            RowFile(Path(folder) / "scores.npy", block=_BATCH_SIZE),
            window=window,
            stride=max(window / 2, video.duration / _MOST_WINDOWS),
            batch_size=_BATCH_SIZE,
        )
    names, moments = model.label_names, found.moments
    figure = timeline_figure(moments.edges, moments.scores, found.segments, names=names, title="")
    segments = [Labelled(name, s.start, s.end, names[s.label], s.score) for s in found.segments]
    return Timeline(segments, _svg(figure))


def _shown(view: View, pixels: UInt8[Tensor, "3 T S S"], video: Video, num_views: int) -> ShownView:
    name = f"Clip {view.clip_index + 1}"
    if view.num_crops > 1:
        name += f", crop {view.crop_index + 1} of {view.num_crops}"
    return ShownView(
        name if num_views > 1 else "",
        [float(video.times[number]) for number in view.frames],
        pixels.permute(1, 2, 3, 0).numpy(),
    )


def clock(seconds: Sequence[float]) -> list[str]:
    """Return times as captions, with two decimals.

    Args:
        seconds: The times.
    """
    return [f"{each:.2f} s" for each in seconds]


def _svg(figure: Figure) -> str:
    """Convert a figure to an SVG element that uses the page's fonts and its own background."""
    text = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(text, format="svg", transparent=True, dpi=_DOTS_PER_INCH)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
