"""Which errors a user can mend, and the one sentence that says how."""

import errno
import re

__all__ = ["ArgumentsError", "user_error"]

# What any write may end in, a library's as well as ours.
_OF_THE_DISK = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS)


class ArgumentsError(ValueError):
    """Arguments that do not parse."""


def user_error(error: BaseException) -> str | None:
    """Return the one sentence for an error that the user can mend, or ``None`` if it is a bug.

    Args:
        error: What ended the run.
    """
    message = str(error).strip()
    if type(error).__module__.startswith("pks4_lightning."):
        # Raised in a data worker, its message is a traceback that ends in ours.
        if re.match(r"Caught \w+ in ", message):
            return message.splitlines()[-1].removeprefix(f"{type(error).__module__}.")
        return message
    if isinstance(error, ValueError | TypeError | OSError) and _raised_by_us(error):
        return message
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}."
    if isinstance(error, RuntimeError | MemoryError):
        return _memory_error(error)
    return None


def _memory_error(error: BaseException) -> str | None:
    from pks4_lightning.training.learning.chunked_forward import is_out_of_memory

    if not is_out_of_memory(error):
        return None
    notes: list[str] = getattr(error, "__notes__", [])
    general = (
        "There is not enough memory: lower --data.batch_size, --data.num_frames or "
        "--data.frame_size, or set --model.classifier.gradient_checkpointing true "
        "(the learning rate and the accumulation follow the batch size by themselves)."
    )
    return notes[-1] if notes else general


def _raised_by_us(error: BaseException) -> bool:
    """Whether the innermost frame of an error's traceback lies in this package."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    return str(traceback.tb_frame.f_globals.get("__name__", "")).startswith("pks4_lightning.")
