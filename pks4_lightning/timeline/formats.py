"""Write segments as a table, JSON, JSON lines, or subtitles."""

import csv
import json
from collections.abc import Sequence
from html import escape
from io import StringIO
from typing import Literal, NamedTuple

__all__ = ["SUBTITLES", "Format", "Labelled", "write_segments"]

Format = Literal["csv", "json", "jsonl", "srt", "vtt"]
SUBTITLES: tuple[Format, ...] = ("srt", "vtt")
"""Formats with one file per video."""


class Labelled(NamedTuple):
    """A segment of a video with the name of its label."""

    video: str
    start: float
    """Seconds from the video's first frame."""
    end: float
    label: str
    score: float


def write_segments(segments: Sequence[Labelled], form: Format) -> str:
    """Write segments as text.

    Args:
        segments: Segments in order; for subtitles, of a single video.
        form: ``csv`` has a header; ``srt`` and ``vtt`` are subtitles.
    """
    match form:
        case "csv":
            text = StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(Labelled._fields)
            writer.writerows(_rounded(segment).values() for segment in segments)
            return text.getvalue()
        case "json":
            return json.dumps([_rounded(each) for each in segments], indent=1) + "\n"
        case "jsonl":
            return "".join(json.dumps(_rounded(each)) + "\n" for each in segments)
        case "srt":
            return "\n".join(
                f"{number}\n{_clock(each.start, ',')} --> {_clock(each.end, ',')}\n{_line(each)}\n"
                for number, each in enumerate(segments, start=1)
            )
        case "vtt":
            cues = (
                f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n"
                f"{escape(_line(each), quote=False)}\n"
                for each in segments
            )
            return "\n".join(["WEBVTT\n", *cues])


def _rounded(segment: Labelled) -> dict[str, str | float]:
    """Round times to milliseconds and scores to four digits."""
    values = segment._asdict()
    return values | {
        "start": round(segment.start, 3), "end": round(segment.end, 3),
        "score": round(segment.score, 4),
    }  # fmt: skip


def _line(segment: Labelled) -> str:
    # an empty line ends a subtitle, and --> starts a new one
    label = " ".join(segment.label.split()).replace("-->", "→")
    return f"{label} ({segment.score:.0%})"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
