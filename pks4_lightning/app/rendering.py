"""Converts answers to HTML: names from users and files are escaped, and images are embedded."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pks4_lightning.app.examination import Answer, ShownView, Timeline, clock
from pks4_lightning.training.scoring.predictions import Label

__all__ = [
    "answer_html",
    "classes_html",
    "note_html",
    "priors_html",
    "refusal_html",
    "seen_html",
    "timeline_html",
]

_LONGEST_NAME = 80
_JPEG_QUALITY = 90
_PRIORS = (
    "Arrows show where each patch is found in the next frame. The framed patch is the one that "
    "changes most; its correlation with its search window is drawn over the next frame. "
    "Variation is the amount by which each patch changes."
)


def classes_html(names: Sequence[str]) -> str:
    """Return the classes as a list that opens, in the order of their names.

    Args:
        names: The classes'.
    """
    items = "".join(f"<li>{escape(name)}</li>" for name in sorted(names, key=str.casefold))
    return (
        f'<details class="pks4-classes"><summary>What it can answer</summary><ul>{items}</ul>'
        "</details>"
    )


def note_html(text: str) -> str:
    """Return a status message.

    Args:
        text: The message.
    """
    return f'<p class="pks4-note" role="status">{escape(text)}</p>'


def refusal_html(sentence: str) -> str:
    """Return an error message.

    Args:
        sentence: The message.
    """
    return f'<p class="pks4-refusal" role="alert">{escape(sentence)}</p>'


def answer_html(answer: Answer, name: str) -> str:
    """Return the best classes with their scores.

    Args:
        answer: The answer for the video.
        name: The video's name.
    """
    rows = "".join(_bar(label, is_best=place == 0) for place, label in enumerate(answer.best))
    length = f"{answer.duration:.1f} s, {answer.num_frames} frames"
    return (
        f'<p class="pks4-file"><b>{escape(_shortened(name))}</b> {length}</p>'
        f'<ol class="pks4-labels">{rows}</ol>'
    )


def seen_html(answer: Answer) -> str:
    """Return the frames that the model used.

    Args:
        answer: The answer for the video.
    """
    html = f"<h2>What the model saw</h2>{''.join(_view(view) for view in answer.views)}"
    if more := answer.num_views - len(answer.views):
        html += note_html(f"The average includes {more} more.")
    return html


def priors_html(picture: str) -> str:
    """Return the figure of the priors' output with its explanation.

    Args:
        picture: The figure as SVG.
    """
    return (
        f'<h2>What the priors find</h2><p class="pks4-note">{_PRIORS}</p>'
        f'<div class="pks4-picture">{picture}</div>'
    )


def timeline_html(timeline: Timeline) -> str:
    """Return the timeline as a figure and as a table.

    Args:
        timeline: The timeline of the video.
    """
    rows = "".join(
        f"<tr><td>{_minutes(each.start)} – {_minutes(each.end)}</td><td>{escape(each.label)}</td>"
        f"<td>{each.score:.0%}</td></tr>"
        for each in timeline.segments
    )
    return (
        '<h2>What happens when</h2><div class="pks4-picture pks4-whole">'
        f'{timeline.picture}</div><table class="pks4-segments">{rows}</table>'
    )


def _bar(label: Label, *, is_best: bool) -> str:
    kind = ' class="pks4-best"' if is_best else ""
    return (
        f"<li{kind}><span>{escape(label.name)}</span><span>{label.score:.1%}</span>"
        f'<div style="width: {100 * label.score:.1f}%"></div></li>'
    )


def _view(view: ShownView) -> str:
    pictures = "".join(
        f'<figure><img src="{_jpeg(frame)}" alt="frame at {when}"><figcaption>{when}</figcaption>'
        "</figure>"
        for frame, when in zip(view.frames, clock(view.seconds), strict=True)
    )
    name = f"<h3>{escape(view.name)}</h3>" if view.name else ""
    return f'{name}<div class="pks4-frames">{pictures}</div>'


def _jpeg(frame: UInt8[np.ndarray, "S S 3"]) -> str:
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:04.1f}"


def _shortened(name: str) -> str:
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
