"""Store tokens of frozen blocks on disk, one file per view of a video."""

import hashlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.files import atomic_write, remove_leftovers
from pks4_lightning.locks import hold_lock

__all__ = ["StoredView", "TokenStore"]

logger = logging.getLogger(__name__)


class StoredView(NamedTuple):
    """The frames of a view, as tokens."""

    tokens: Shaped[Tensor, "T L E"]
    is_flipped: bool


class TokenStore:
    """Tokens that depend on the same settings, in a folder named after a hash of these.

    Files are written atomically. Anything that changes the tokens changes the name of the folder or
    file, so a file that exists is correct, whoever wrote it and when.

    Args:
        folder: Folder of all stores. Subfolders that are no longer needed may be deleted.
        terms: Everything that all tokens depend on, as plain values; written to ``terms.json``.
    """

    def __init__(self, folder: str | Path, terms: Mapping[str, Any]) -> None:
        text = json.dumps(terms, sort_keys=True, indent=1)
        self.folder = Path(folder, hashlib.sha256(text.encode()).hexdigest()[:16])
        self._terms = text
        self._folders: dict[str, str] = {}
        """What :func:`_state_within` has found: a training asks for it at every clip."""

    def file(
        self, video: str, *, source: str, pictures: tuple[Any, ...], view: int, may_flip: bool
    ) -> Path:
        """Return the file of a view; a video that is replaced gets another file.

        Args:
            video: Path of the video within its data set.
            source: Path of the video on disk.
            pictures: Which pictures are read, if the video is a folder of them.
            view: Index of the view.
            may_flip: Whether the video's class has a mirrored counterpart.

        Raises:
            VideoDecodeError: If the video does not exist.
        """
        try:
            state = os.stat(source)  # noqa: PTH116 - once per clip
            parts: tuple[Any, ...] = (video, state.st_size, state.st_mtime_ns, may_flip)
            if stat.S_ISDIR(state.st_mode):
                if source not in self._folders:
                    self._folders[source] = _state_within(source)
                parts = (video, self._folders[source], pictures, may_flip)
        except OSError as error:
            raise VideoDecodeError.of(source, str(error.strerror)) from None
        name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
        return self.folder / f"{name}-{view:03d}.safetensors"

    def read(self, file: Path, *, source: str) -> StoredView:
        """Read a view.

        Args:
            file: From :meth:`file`.
            source: Path of the video on disk, for messages.

        Raises:
            VideoDecodeError: If it does not exist or is damaged.
        """
        if not file.is_file():
            reason = f"the token cache has no '{file}'; a warning at the start gives the reason"
            raise VideoDecodeError.of(source, reason)
        try:
            stored = load_file(file)
            return StoredView(stored["tokens"], bool(stored["flipped"]))
        except (SafetensorError, KeyError, OSError) as error:
            reason = f"'{file}' of the token cache is damaged ({error}); delete it and start again"
            raise VideoDecodeError.of(source, reason) from None

    def write(self, file: Path, view: StoredView) -> None:
        """Keep a view."""
        with atomic_write(file) as path:
            save_file(
                {"tokens": view.tokens.contiguous(), "flipped": torch.tensor(view.is_flipped)}, path
            )

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Let one process fill the store while others wait; the lock ends with the process.

        Raises:
            OSError: If the folder cannot be written to, or its file system has no locks.
        """
        with hold_lock(self.folder / "lock", None):
            remove_leftovers(self.folder)
            (self.folder / "terms.json").write_text(self._terms + "\n", encoding="utf-8")
            yield

    def require_room(self, num_bytes: int) -> None:
        """Refuse to start if the disk has too little space.

        Args:
            num_bytes: Number of bytes still to be written.

        Raises:
            OSError: If there is less space.
        """
        free = shutil.disk_usage(self.folder).free
        if num_bytes > free:
            raise OSError(
                f"data.token_cache needs another {num_bytes / 2**30:.1f} GiB, but the disk of "
                f"'{self.folder}' has {free / 2**30:.1f} GiB left: choose another folder, or lower "
                "--data.pool.num_views or --data.pool.num_frames."
            )


def _state_within(folder: str) -> str:
    """Hash the names, sizes and dates of all files, because a folder's own date misses changes."""
    with os.scandir(folder) as files:
        states = [(file.name, file.stat()) for file in files]
    parts = sorted((name, state.st_size, state.st_mtime_ns) for name, state in states)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
