"""Check paths from annotation files, so that they stay in the folder they are relative to.

Annotation files may come from untrusted sources. A path in them may be absolute, climb out with
``..`` or through a link, name a device or a pipe that never ends, or be a URL that FFmpeg would
open. ``check_name`` checks only the text; ``file_inside`` also checks the disk.
"""

import os
import re
import stat
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

__all__ = ["UnsafePathError", "check_name", "file_inside", "kind_of", "shortened"]

# FFmpeg treats text before a colon, and `subfile,` before a comma, as a protocol
_PROTOCOLS = re.compile(
    r"(async|bluray|cache|concat|concatf|crypto|data|dtls|fd|ffrtmp\w*|file|ftp|gopher|hls|https?|"
    r"icecast|ipfs|ipns|libs\w+|md5|mms[ht]?|pipe|prompeg|rt[ms]?p\w*|s3|sctp|sftp|smb|srtp?|"
    r"subfile|tcp|tee|tls|udp\w*|unix|zmq)\s*[:,]|[a-z][a-z0-9+.-]*://",
    re.IGNORECASE,
)
_LONGEST_PATH = 4096
_LONGEST_NAME = 255
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TEXT_DIRECTION = frozenset(
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


class UnsafePathError(ValueError):
    """A listed path that must not be opened; the message quotes it and gives the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"The path '{shortened(self.path)}' {self.reason}."


def shortened(text: str) -> str:
    """Shorten a path or a piece of a file to one line of a message; both ends stay."""
    shown = text if len(text) <= 80 else f"{text[:38]}...{text[-39:]}"
    return shown if shown.isprintable() else repr(shown)[1:-1]


def check_name(path: str) -> str:
    """Return a relative path unchanged if its text is harmless. The disk is not accessed.

    Args:
        path: As listed, with forward slashes.

    Raises:
        UnsafePathError: If it is empty, too long, absolute, climbs out of its folder, names a
            protocol, or contains control characters or characters that change the text direction.
    """
    if not path.strip() or path.strip("./") == "":
        raise UnsafePathError(path, "names no file")
    if "\0" in path or any(unicodedata.category(sign) in _UNSEEN for sign in path):
        raise UnsafePathError(path, "contains a line break or another control character")
    if not _TEXT_DIRECTION.isdisjoint(path):
        raise UnsafePathError(path, "contains a character that changes the text direction")
    parts = PurePosixPath(path).parts
    size = len(path.encode())
    if size > _LONGEST_PATH or max(len(part.encode()) for part in parts) > _LONGEST_NAME:
        raise UnsafePathError(path, f"is {size} bytes long, more than file systems allow")
    if _PROTOCOLS.match(path.strip()):
        raise UnsafePathError(path, "is a URL, not a path; give a path below the folder")
    if PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or path.startswith("\\"):
        raise UnsafePathError(path, "is absolute; give it relative to the video folder")
    if ".." in parts or ".." in PureWindowsPath(path).parts or parts[0].startswith("~"):
        raise UnsafePathError(path, "leads out of the video folder")
    return path


def file_inside(root: str | os.PathLike[str], path: str) -> Path:
    """Resolve a listed path, links included, and check that it is a file below the folder.

    Args:
        root: Folder that the path is relative to; it may itself be a link.
        path: As listed.

    Returns:
        The real path.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafePathError: If its text is refused by ``check_name``, if links lead out of the folder,
            or if it is not a regular file.
    """
    check_name(path)
    folder = Path(root).resolve()
    try:
        real = (folder / path).resolve(strict=True)
        mode = real.stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file '{path}' in '{root}'.") from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "its links lead in a circle"
        raise UnsafePathError(path, f"cannot be followed ({reason.lower()})") from None
    if not real.is_relative_to(folder):
        raise UnsafePathError(path, f"is a link that leads out of '{root}', to '{real}'")
    if not stat.S_ISREG(mode):
        raise UnsafePathError(path, f"is {kind_of(mode)}, not a file")
    return real


def kind_of(mode: int) -> str:
    """Return what is no regular file, as `a folder` or `a pipe`.

    Args:
        mode: The mode of its status.
    """
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
