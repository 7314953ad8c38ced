"""Which errors a user can fix, and the sentence that explains each."""

import errno
import re

__all__ = ["ArgumentsError", "user_error"]

_OURS, _LIGHTNING = "pks4_lightning.", "lightning."
# Any write can fail with one of these, in a library or in this package.
_OF_THE_DISK = (errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EROFS)
_FILE_FOR_A_FOLDER = (errno.EEXIST, errno.ENOTDIR)


class ArgumentsError(ValueError):
    """Arguments that do not parse."""


def user_error(error: BaseException) -> str | None:
    """Return the sentence for an error that the user can fix, or ``None`` if it is a bug.

    Args:
        error: The exception that ended the run.
    """
    message = str(error).strip()
    if type(error).__module__.startswith("pks4_lightning."):
        # Raised in a data worker: the message is a traceback that ends with our sentence.
        if re.match(r"Caught \w+ in ", message):
            return message.splitlines()[-1].removeprefix(f"{type(error).__module__}.")
        return message
    if isinstance(error, ValueError | TypeError | OSError) and _raised_in(error, _OURS):
        return message
    if isinstance(error, FileNotFoundError) and _raised_in(error, "tempfile"):
        return f"{error.strerror}; set TMPDIR to a folder that can be written to."
    if isinstance(error, OSError) and error.errno in _FILE_FOR_A_FOLDER:
        return f"{error.strerror}: {error.filename}; choose another folder."
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return f"{error.strerror}{f': {error.filename}' if error.filename else ''}."
    if type(error).__name__ == "SafetensorError" and (
        reason := re.search(r"I/O error: (.+) \(os error \d+\)$", message)
    ):
        return f"A safetensors file cannot be written: {reason[1]}."
    if isinstance(error, RuntimeError) and message.startswith("Early stopping conditioned on"):
        return (
            "Early stopping found no metric, because the training ended before its first "
            "validation: raise --trainer.max_steps."
        )
    if isinstance(error, RuntimeError | MemoryError) and (advice := _memory_error(error)):
        return advice
    return _option_error(error)


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


def _option_error(error: BaseException) -> str | None:
    """Explain an invalid option of Lightning, or name the package that an option needs."""
    cause, name = error, ""
    while cause.__cause__ is not None:  # jsonargparse wraps errors in several layers
        if found := re.match(r"Problem with given class_path '([\w.]+)'", str(cause)):
            name = f"{found[1]}: "
        cause = cause.__cause__
    where = (_LIGHTNING, _OURS) if _raised_in(error, "jsonargparse.") else (_LIGHTNING,)
    if type(cause).__name__ != "MisconfigurationException" and not (
        isinstance(cause, ValueError | ImportError) and _raised_in(cause, *where)
    ):
        return None
    return f"{name}{' '.join(str(cause).split()).rstrip('.!')}."


def _raised_in(error: BaseException, *packages: str) -> bool:
    """Return whether the innermost frame of an error's traceback is in one of the packages."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return False
    return str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(packages)
