"""What reading a video can end with, told in one sentence that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

import av

__all__ = ["FewerFramesError", "VideoDecodeError", "ffmpeg_errors"]


class VideoDecodeError(ValueError):
    """A video that cannot be opened or decoded; the message names the file and the reason."""

    def __init__(self, message: str) -> None:
        # torch's loader wraps the message in the worker's traceback; its last line is the sentence
        super().__init__(message.rstrip().rpartition("DecodeError: ")[2])

    @classmethod
    def of(cls, name: str, reason: str) -> "VideoDecodeError":
        """Return the error about a file.

        Args:
            name: The file's.
            reason: End of the sentence, without a full stop.
        """
        return cls(f"Cannot decode video '{name}': {reason}.")


class FewerFramesError(Exception):
    """Decoding ended before a frame that the packet count had promised.

    ``Video.num_frames`` is right from then on; choose frames anew.
    """


@contextmanager
def ffmpeg_errors(name: str) -> Iterator[None]:
    """Turn what FFmpeg reports about a file into a ``VideoDecodeError``.

    Args:
        name: The file's.
    """
    try:
        yield
    except av.error.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise VideoDecodeError.of(name, reason[:1].lower() + reason[1:]) from error
