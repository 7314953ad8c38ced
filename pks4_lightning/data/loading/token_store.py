"""What frozen blocks make of pictures, kept on disk: a file for each view of a video."""

import hashlib
import json
import logging
import os
import shutil
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

__all__ = ["StoredView", "TokenStore"]

logger = logging.getLogger(__name__)


class StoredView(NamedTuple):
    """The pictures of a view, as tokens."""

    tokens: Shaped[Tensor, "T L E"]
    is_flipped: bool


class TokenStore:
    """Tokens that depend on the same things, in a folder that is named after these.

    A file is written whole or not at all. Whatever changes the tokens changes the folder's name or
    the file's, so what is found there is right, whoever has written it and when.

    Args:
        folder: Of all stores. Folders in it that are no longer needed may be deleted.
        terms: What all tokens depend on, plain values; ``terms.json`` tells them to a person.
    """

    def __init__(self, folder: str | Path, terms: Mapping[str, Any]) -> None:
        text = json.dumps(terms, sort_keys=True, indent=1)
        self.folder = Path(folder, hashlib.sha256(text.encode()).hexdigest()[:16])
        self._terms = text

    def file(self, video: str, *, source: str, view: int, may_flip: bool) -> Path:
        """Name the file of a view; a video that is replaced by another gets another.

        Args:
            video: Path of the video within its data set.
            source: Path of the video on disk.
            view: Number of the view.
            may_flip: Whether the video's class has a mirrored counterpart.

        Raises:
            VideoDecodeError: If the video is not there.
        """
        try:
            state = os.stat(source)  # noqa: PTH116 - once per clip
        except OSError as error:
            raise VideoDecodeError.of(source, str(error.strerror)) from None
        parts = (video, state.st_size, state.st_mtime_ns, may_flip)
        name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
        return self.folder / f"{name}-{view:03d}.safetensors"

    def read(self, file: Path, *, source: str) -> StoredView:
        """Read a view.

        Args:
            file: From :meth:`file`.
            source: Path of the video on disk, for messages.

        Raises:
            VideoDecodeError: If it is not there or damaged.
        """
        if not file.is_file():
            reason = f"the token cache has no '{file}'; a warning at the start says why"
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
        """Let one process fill the store while others wait; a process that dies lets go.

        Raises:
            OSError: If the folder cannot be written to.
        """
        import fcntl  # Windows has none, and does without a token cache

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            remove_leftovers(self.folder)
            (self.folder / "terms.json").write_text(self._terms + "\n", encoding="utf-8")
            yield

    def require_room(self, num_bytes: int) -> None:
        """Refuse to begin what the disk has no room for.

        Args:
            num_bytes: Of all that is still to be written.

        Raises:
            OSError: If there is less.
        """
        free = shutil.disk_usage(self.folder).free
        if num_bytes > free:
            raise OSError(
                f"data.token_cache would take {num_bytes / 1e9:.1f} GB more and the disk of "
                f"'{self.folder}' has {free / 1e9:.1f} GB left: name another folder, or lower "
                "--data.pool.num_views or --data.pool.num_frames."
            )
