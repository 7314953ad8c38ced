"""Errors of reading a video, each one sentence that names the file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import av

from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["Fault", "FewerFramesError", "VideoDecodeError", "ffmpeg_errors", "refuse_absent"]

Fault: TypeAlias = Literal[
    "missing",
    "unreadable",
    "disallowed_format",
    "too_large",
    "truncated",
    "zero_frames",
    "flagged_corrupt",
    "decode_error",
]
"""Kinds of faults."""


class VideoDecodeError(ValueError):
    """A video that cannot be opened or decoded; the message names the file and the reason."""

    fault: Fault = "decode_error"
    """Kind of the fault."""
    reason: str = ""
    """The reason, without a full stop."""

    def __init__(self, message: str) -> None:
        # torch's loader wraps the message in the worker's traceback; the last line is our sentence
        super().__init__(message.rstrip().rpartition("DecodeError: ")[2])

    @classmethod
    def of(cls, name: str, reason: str, fault: Fault = "decode_error") -> "VideoDecodeError":
        """Return the error for a file.

        Args:
            name: Name of the file.
            reason: The reason, without a full stop.
            fault: Kind of the fault.
        """
        stop = "" if reason.endswith("?") else "."
        error = cls(f"Cannot decode video '{name}': {reason}{stop}")
        error.fault, error.reason = fault, reason
        return error


def refuse_absent(path: str | os.PathLike[str]) -> None:
    """Refuse a path that does not exist, and suggest the closest one.

    Args:
        path: A file or a folder of pictures.

    Raises:
        VideoDecodeError: If it does not exist, or is an empty string.
    """
    if not os.fspath(path):  # as a path, it would be the current folder
        raise VideoDecodeError.of("", "its name is empty", "missing")
    if not Path(path).exists():
        meant = did_you_mean_path(path).removesuffix(".")
        raise VideoDecodeError.of(str(path), f"there is no such file{meant}", "missing")


class FewerFramesError(Exception):
    """Decoding ended before a frame that the packet count implied.

    ``Video.num_frames`` has been corrected; choose frames again.
    """


@contextmanager
def ffmpeg_errors(name: str, fault: Fault = "decode_error") -> Iterator[None]:
    """Turn FFmpeg's errors about a file into a ``VideoDecodeError``.

    Args:
        name: Name of the file.
        fault: Kind of fault to record.
    """
    try:
        yield
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise VideoDecodeError.of(name, reason[:1].lower() + reason[1:], fault) from error
