"""Answers an upload step by step for the page, and then deletes the file."""

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
    """Answer an upload, and delete it in any case.

    Args:
        call: Calls a function of the model, like
            :meth:`~pks4_lightning.app.model_process.ModelProcess.call`.
        upload: The uploaded file.
        name: The file name that the user gave.
        uploads: Folder of uploads; no other file is touched.
        window: Length of a window of the timeline in seconds. Only videos that are longer than two
            windows have a timeline.

    Yields:
        The page after each change.
    """
    try:
        with _taken(upload, uploads) as file:
            yield Page(note_html(f"Analysing {name} …"))
            answer = call(examine, str(file), name)
            page = Page(answer_html(answer, name), seen_html(answer))
            yield page
            picture = call(picture_priors, answer.views[0])
            if picture is not None:
                page = page._replace(priors=priors_html(picture))
                yield page
            if answer.duration > 2 * window:
                yield page._replace(timeline=note_html("Computing the timeline …"))
                yield page._replace(timeline=_timeline(call, file, name, window))
    except NoAnswerError as error:
        yield Page(refusal_html(str(error)))


def _timeline(call: Call, file: Path, name: str, window: float) -> str:
    """Return the timeline, or a message why there is none, so that the answer stays visible."""
    try:
        return timeline_html(call(watch, str(file), name, window=window))
    except NoAnswerError as error:
        return refusal_html(str(error))


@contextmanager
def _taken(upload: Path, uploads: Path) -> Iterator[Path]:
    """Provide a copy of an upload, and delete both at the end.

    Gradio names folders after their content, so an upload with the same content has the same path.
    A file that replaced the upload in the meantime is left to its own request.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"video{upload.suffix}"
        try:
            if not upload.resolve().is_relative_to(uploads.resolve()):
                raise FileNotFoundError  # a modified client may ask for any file
            came = _identity(upload)
            shutil.copyfile(upload, file)
        except OSError as error:
            raise NoAnswerError("The upload has been deleted: drop the video again.") from error
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
