"""Errors of reading a video, each one sentence that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import av

__all__ = ["Fault", "FewerFramesError", "VideoDecodeError", "ffmpeg_errors"]

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
        error = cls(f"Cannot decode video '{name}': {reason}.")
        error.fault, error.reason = fault, reason
        return error


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
