"""From an upload to what the page shows of it, step by step; then the file is gone."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

from pks4_lightning.app.examination import examine, picture_priors, watch
from pks4_lightning.app.model_process import NoAnswerError
from pks4_lightning.app.rendering import (
    answer_html,
    note_html,
    priors_html,
    refusal_html,
    seen_html,
    timeline_html,
)

__all__ = ["Call", "Page", "answer_upload"]

Call: TypeAlias = Callable[..., Any]


class Page(NamedTuple):
    """The parts of the page that change, as HTML."""

    answer: str = ""
    seen: str = ""
    priors: str = ""
    timeline: str = ""


def answer_upload(
    call: Call, upload: Path, name: str, *, uploads: Path, window: float
) -> Iterator[Page]:
    """Answer an upload, and remove it whatever happens.

    Args:
        call: Calls a function of the model, as
            :meth:`~pks4_lightning.app.model_process.ModelProcess.call` does.
        upload: The file.
        name: What the person called it.
        uploads: Where uploads lie; nothing else is touched.
        window: Seconds of a window of the timeline, which videos of more than two of them have.

    Yields:
        The page, each time it has changed.
    """
    try:
        with _taken(upload, uploads) as file:
            yield Page(note_html(f"Looking at {name} …"))
            answer = call(examine, str(file), name)
            page = Page(answer_html(answer, name), seen_html(answer))
            yield page
            picture = call(picture_priors, answer.views[0])
            if picture is not None:
                page = page._replace(priors=priors_html(picture))
                yield page
            if answer.duration > 2 * window:
                yield page._replace(timeline=note_html("Looking for what happens when …"))
                yield page._replace(timeline=_timeline(call, file, name, window))
    except NoAnswerError as error:
        yield Page(refusal_html(str(error)))


def _timeline(call: Call, file: Path, name: str, window: float) -> str:
    """Return the timeline, or why there is none: what was answered before stays."""
    try:
        return timeline_html(call(watch, str(file), name, window=window))
    except NoAnswerError as error:
        return refusal_html(str(error))


@contextmanager
def _taken(upload: Path, uploads: Path) -> Iterator[Path]:
    """Give a copy of an upload, and remove both in the end.

    Gradio names folders by what is in their files: an upload of the same content comes to the same
    place. One that has come there since is left to whoever asks about it.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"video{upload.suffix}"
        try:
            if not upload.resolve().is_relative_to(uploads.resolve()):
                raise FileNotFoundError  # a client of its own making asks for another file
            came = _identity(upload)
            shutil.copyfile(upload, file)
        except OSError as error:
            raise NoAnswerError("The upload has been removed: drop the video again.") from error
        try:
            yield file
        finally:
            with suppress(OSError):
                if _identity(upload) == came:
                    upload.unlink()
                    upload.parent.rmdir()


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns
