"""Exports of CVAT in its own XML format: tracks of a video, or tags of its frames."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from pks4_lightning.data.annotations.entry import Entry, read_text
from pks4_lightning.data.annotations.locating import by_media_name
from pks4_lightning.data.annotations.paths import shortened
from pks4_lightning.data.annotations.record import DataFormat, Part
from pks4_lightning.data.video.span import Span

__all__ = ["CVAT"]

_MOST_DIGITS = 7  # four days at 25 frames per second


@dataclass
class _Document:
    """The content of an export."""

    source: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    """Video of a project by the id of its task."""
    task: str = ""
    tracks: list[tuple[str, str, set[int]]] = field(default_factory=list)
    """Video, label, and the frames in which the object is visible."""
    tags: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """Tagged frames by video and label."""


def read_cvat(part: Part) -> list[Entry]:
    """Read "CVAT for video 1.1" or "CVAT for images 1.1".

    A track gives one interval per run of frames in which its object is not outside; a tag gives one
    per run of frames that have it. Frames count from 0.

    Args:
        part: The file.

    Raises:
        ValueError: If it is not such a file, declares entities, or gives a frame that is no number
            or too large.
    """
    document = _parse(part.source)
    entries = []
    labelled = [*document.tracks, *((*key, frames) for key, frames in document.tags.items())]
    for video, label, frames in labelled:
        for first, end in _runs(sorted(frames)):
            span = Span(float(first), float(end), "frames")
            entries.append(Entry(video, label, f"frame {first}", span=span))
    return sorted(entries, key=lambda entry: (entry.video, entry.span or Span(0, 0)))


def _parse(source: Path) -> _Document:
    document = _Document()
    reader = _Reader(document)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entities
    try:
        parser.Parse(read_text(source).encode(), True)
    except KeyError as error:
        reason = f"an element lacks {error} in line {parser.CurrentLineNumber}"
    except (expat.ExpatError, _EntityError) as error:
        reason = str(error)
    except _FrameError as error:
        reason = f"it gives the frame '{error}' in line {parser.CurrentLineNumber}"
    else:
        return document
    raise ValueError(f"'{source}' is not an XML export of CVAT: {reason}.")


class _EntityError(Exception):
    pass


class _FrameError(Exception):
    pass


def _frame(text: str) -> int:
    """Parse the number of a frame; a track holds every frame between two of them in memory."""
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise _FrameError(shortened(text))
    return int(text)


def _refuse_entities(*_: object) -> None:
    # nested entities can expand to fill any memory
    raise _EntityError("it declares entities, which CVAT exports never contain")


class _Reader:
    """Handles elements as the parser encounters them."""

    def __init__(self, document: _Document) -> None:
        self._document = document
        self._path: list[str] = []
        self._said: list[str] = []
        self._frames: set[int] | None = None
        self._last_seen: int | None = None
        self._image: tuple[str, int] | None = None

    def start(self, name: str, given: dict[str, str]) -> None:
        """Begin an element."""
        document = self._document
        self._path.append(name)
        self._said = []
        if name == "track":
            video = document.sources.get(given.get("task_id", ""), document.source)
            self._frames, self._last_seen = set(), None
            document.tracks.append((video, given["label"], self._frames))
        elif self._frames is not None and "frame" in given and "outside" in given:
            self._shape(_frame(given["frame"]), is_outside=given["outside"] == "1")
        elif name == "image":
            video = document.sources.get(given.get("task_id", ""), document.source)
            self._image = video, _frame(given["id"])
        elif name == "tag" and self._image is not None:
            video, frame = self._image
            document.tags.setdefault((video, given["label"]), set()).add(frame)

    def text(self, text: str) -> None:
        """Collect text."""
        self._said.append(text)

    def end(self, name: str) -> None:
        """End an element."""
        document, said = self._document, "".join(self._said).strip()
        self._path.pop()
        parent = self._path[-1] if self._path else ""
        if parent in ("task", "job") and name == "id":
            document.task = said
        elif name == "source" and "meta" in self._path and parent != "track":
            document.source = said
            document.sources[document.task] = said
        elif name == "track":
            self._frames = None
        elif name == "image":
            self._image = None
        self._said = []

    def _shape(self, frame: int, *, is_outside: bool) -> None:
        """Record a shape; a visible shape stays visible until the next one of its track."""
        assert self._frames is not None
        if self._last_seen is not None:
            self._frames.update(range(self._last_seen, frame))
        self._last_seen = None if is_outside else frame
        if not is_outside:
            self._frames.add(frame)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the first number, and the number after the last, of every run without gaps."""
    first = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] > number + 1:
            yield numbers[first], number + 1
            first = place + 1


CVAT = DataFormat(
    name="cvat",
    read=read_cvat,
    recognises=lambda sniffed: sniffed.path.suffix.lower() == ".xml",
    splits={"train": ("train.xml", "annotations.xml"), "val": ("val.xml", "validation.xml")},
    labels=("labels.txt", "classes.txt"),
    labels_are_names=True,
    repeats=True,
    videos=("videos", ""),
    locate=by_media_name,
    is_anybodys=True,
)
