"""What reading a video can end with, told in one sentence that names the file."""

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
"""Kinds of faults that a file can have."""


class VideoDecodeError(ValueError):
    """A video that cannot be opened or decoded; the message names the file and the reason."""

    fault: Fault = "decode_error"
    """Of what kind the reason is."""
    reason: str = ""
    """End of the sentence, without a full stop."""

    def __init__(self, message: str) -> None:
        # torch's loader wraps the message in the worker's traceback; its last line is the sentence
        super().__init__(message.rstrip().rpartition("DecodeError: ")[2])

    @classmethod
    def of(cls, name: str, reason: str, fault: Fault = "decode_error") -> "VideoDecodeError":
        """Return the error about a file.

        Args:
            name: The file's.
            reason: End of the sentence, without a full stop.
            fault: Of what kind it is.
        """
        error = cls(f"Cannot decode video '{name}': {reason}.")
        error.fault, error.reason = fault, reason
        return error


class FewerFramesError(Exception):
    """Decoding ended before a frame that the packet count had promised.

    ``Video.num_frames`` is right from then on; choose frames anew.
    """


@contextmanager
def ffmpeg_errors(name: str, fault: Fault = "decode_error") -> Iterator[None]:
    """Turn what FFmpeg reports about a file into a ``VideoDecodeError``.

    Args:
        name: The file's.
        fault: What kind of fault that is.
    """
    try:
        yield
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise VideoDecodeError.of(name, reason[:1].lower() + reason[1:], fault) from error
