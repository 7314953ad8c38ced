"""Segments as files: a table, JSON, JSON lines, or subtitles that any player shows."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from typing import Literal, NamedTuple

__all__ = ["SUBTITLES", "Format", "Labelled", "write_segments"]

Format = Literal["csv", "json", "jsonl", "srt", "vtt"]
SUBTITLES: tuple[Format, ...] = ("srt", "vtt")
"""Formats of which a file is about one video."""


class Labelled(NamedTuple):
    """A segment of a video with its label's name."""

    video: str
    start: float
    """Seconds from the video's first frame."""
    end: float
    label: str
    score: float


def write_segments(segments: Sequence[Labelled], form: Format) -> str:
    """Write segments as text.

    Args:
        segments: In their order; of one video where they become subtitles.
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
                f"{_clock(each.start, '.')} --> {_clock(each.end, '.')}\n{_line(each)}\n"
                for each in segments
            )
            return "\n".join(["WEBVTT\n", *cues])


def _rounded(segment: Labelled) -> dict[str, str | float]:
    """Times to the millisecond, scores to four digits."""
    values = segment._asdict()
    return values | {
        "start": round(segment.start, 3), "end": round(segment.end, 3),
        "score": round(segment.score, 4),
    }  # fmt: skip


def _line(segment: Labelled) -> str:
    # a subtitle ends at an empty line, and --> begins a new one
    label = " ".join(segment.label.split()).replace("-->", "→")
    return f"{label} ({segment.score:.0%})"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
