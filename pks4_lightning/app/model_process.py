"""Runs a model in a separate process, so that the page survives videos that break the decoder.

FFmpeg is written in C, and some files can crash or block the process that decodes them. That
process is then ended, and a new one loads the model for the next video.
"""

import logging
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from pks4_lightning.app.examination import describe
from pks4_lightning.cli.errors import user_error
from pks4_lightning.inference import TrainedClassifier, load

__all__ = ["ModelProcess", "NoAnswerError", "outcome"]

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class NoAnswerError(Exception):
    """There is no answer; the message tells the user why."""


class ModelProcess:
    """Loads a model in a child process and calls functions on it, one at a time.

    Args:
        source: As for :func:`pks4_lightning.load`.
        device: Device to compute on. ``None`` uses a GPU if there is one.
        time_limit: Longest duration of a call, in seconds.

    Raises:
        NoAnswerError: If the model cannot be loaded.
    """

    def __init__(self, source: str, *, device: str | None, time_limit: float) -> None:
        self._arguments = (source, device)
        self._time_limit = time_limit
        self._turn = threading.Lock()
        self._child: tuple[BaseProcess, Connection] | None = None
        self._is_closed = False
        self.description = self._call(describe, (), {})

    def call(
        self,
        function: Callable[Concatenate[TrainedClassifier, P], T],
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Call a function of the model and further arguments, after earlier calls have finished.

        Args:
            function: A module-level function, so that the child process can import it.
            *arguments: Positional arguments after the model.
            **options: Keyword arguments.

        Raises:
            NoAnswerError: If the call raises an error, takes too long, or ends the process.
        """
        with self._turn:
            return self._call(function, arguments, options)

    def close(self) -> None:
        """End the process permanently."""
        self._is_closed = True
        self._stop()

    def __enter__(self) -> "ModelProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, function: Any, arguments: Any, options: Any) -> Any:
        """Return the child's answer."""
        if self._is_closed:
            raise NoAnswerError("`pks4 app` has been stopped.")
        child, connection = self._child or self._start()
        try:
            connection.send((function, arguments, options))
            if not connection.poll(self._time_limit):
                self._stop()
                raise NoAnswerError(
                    f"This took longer than {self._time_limit:g} seconds and was stopped: try a "
                    "shorter or smaller video, or start `pks4 app` with a higher --time_limit."
                )
            is_answer, value = connection.recv()
        except (EOFError, OSError):
            child.join(1.0)
            self._stop()
            if not self._is_closed:
                logger.warning("The model's process ended with status %s.", child.exitcode)
            raise NoAnswerError(
                "This video ended the process that decoded it, or the memory ran out. The model "
                "is being loaded again for the next video."
            ) from None
        if is_answer:
            return value
        raise NoAnswerError(value)

    def _start(self) -> tuple[BaseProcess, Connection]:
        """Start a child, and wait until it has loaded the model."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
        child.start()
        theirs.close()
        self._child = (child, ours)
        try:
            sentence = ours.recv()
        except EOFError:
            child.join()
            sentence = f"The process that loads the model ended with status {child.exitcode}."
        if sentence:
            self._stop()
            raise NoAnswerError(sentence)
        return self._child

    def _stop(self) -> None:
        ended, self._child = self._child, None
        if ended is not None:
            child, connection = ended
            child.kill()
            child.join()
            connection.close()


def _serve(connection: Connection, source: str, device: str | None) -> None:
    """Load a model, and call functions on it until the parent closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    try:
        model = load(source, device=device)
    except Exception as error:
        connection.send(user_error(error) or _unexpected(error))
        return
    connection.send("")
    while True:
        try:
            function, arguments, options = connection.recv()
        except EOFError:
            return
        connection.send(outcome(function, model, *arguments, **options))


def outcome(function: Callable[..., T], *arguments: Any, **options: Any) -> tuple[bool, T | str]:
    """Call a function and catch its errors.

    Args:
        function: The function.
        *arguments: Its positional arguments.
        **options: Its keyword arguments.

    Returns:
        ``True`` and the result, or ``False`` and a sentence about the error.
    """
    try:
        return True, function(*arguments, **options)
    except Exception as error:
        return False, user_error(error) or _unexpected(error)


def _unexpected(error: BaseException) -> str:
    """Print an unexpected error, and return a sentence about it for the page."""
    traceback.print_exception(error)
    return f"{type(error).__name__}: see the terminal in which `pks4 app` was started."
