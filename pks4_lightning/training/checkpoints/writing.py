"""Write checkpoints atomically: a kill at any moment leaves the old file or the new one."""

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import __version__ as lightning_version
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from pks4_lightning.files import atomic_write, check_writable
from pks4_lightning.training.checkpoints.checksum import SealingFile, check_seal
from pks4_lightning.training.checkpoints.reading import check_finite, load_checked

__all__ = ["WholeCheckpointIO", "check_folder"]

logger = logging.getLogger(__name__)


class WholeCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its destination, add a checksum, read it back, then rename it.

    Lightning's own plugin writes to the folder for temporary files. If that is another file system,
    its last step is a copy, which a kill or a full disk leaves incomplete; and it reports success
    if the folder is read-only. Here every error is raised.

    All strategies that write one file per checkpoint use this plugin, including DDP and FSDP2
    (FSDP2 reads by itself). A strategy that writes a folder of shards
    (``save_distributed_checkpoint``) does not use it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._newest: Path | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: The contents collected by Lightning.
            path: The file; an existing one is kept until the new one is complete and on disk.
            storage_options: Lightning's; not used.

        Raises:
            OSError: If it cannot be written; the message gives the sizes needed and free.
            ValueError: If a weight or an optimiser state is not finite.
        """
        path = Path(path)
        check_finite(checkpoint)
        sealing = None
        try:
            with atomic_write(path) as staged:
                with staged.open("wb") as file:
                    sealing = SealingFile(file)
                    torch.save(checkpoint, sealing)  # type: ignore[arg-type]  # only write is used
                    sealing.close()
                _read_back(staged)
            _sync(path.parent)
        except OSError as error:
            raise OSError(_why_not(path, error, size=sealing.size if sealing else 0)) from error
        self._newest = path.resolve()

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint on the CPU, always with ``weights_only=True``.

        Args:
            path: The file, or an export of `pks4 export-weights`.
            map_location: Lightning's; not used.
            weights_only: Lightning's; not used.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged, or contains more than weights and plain values.
        """
        checkpoint, is_verified = load_checked(path)
        if not is_verified:
            logger.warning("%s has no checksum and cannot be verified.", path)
        # Lightning uses the version to migrate old files; an export has none
        return {"pytorch-lightning_version": lightning_version, **checkpoint}

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint that has been superseded.

        Lightning identifies files by name, but a file can have two. The latest file is kept.

        Args:
            path: The file, or a folder of shards.
        """
        if Path(path).resolve() != self._newest:
            super().remove_checkpoint(path)


def check_folder(folder: Path, *, parameters: int) -> None:
    """Check, before the first step, that the checkpoints will fit into a folder.

    Args:
        folder: The checkpoint folder; created if necessary.
        parameters: Number of weights of the model.

    Raises:
        OSError: If nothing can be written there, or there is too little space.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    # The best, the last and the next checkpoint while it is written: each contains all weights and
    # AdamW's two moments in 4 bytes. Existing ones need no additional space.
    copies = max(1, 3 - len(list(there.glob("[!.]*.ckpt"))) if there == folder else 3)
    needed, free = parameters * 12 * copies, shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"There is too little disk space for the checkpoints in {folder}: they need about "
            f"{needed:,} bytes, {free:,} are free. Make room, or choose another folder with "
            "--trainer.default_root_dir."
        )
    check_writable(folder, what="checkpoint", option="--trainer.default_root_dir")


def _read_back(path: Path) -> None:
    try:
        check_seal(path)
    except ValueError as error:
        raise OSError("the file read back differs from what was written") from error


def _sync(folder: Path) -> None:
    """Sync the directory entry to disk, so that a rename survives a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why_not(path: Path, error: OSError, *, size: int) -> str:
    sentence = f"The checkpoint {path} cannot be written: {error.strerror or error}."
    if size:
        free = shutil.disk_usage(path.parent).free
        sentence += f" It needs {size:,} bytes, but {free:,} are free there."
    return sentence + (" The previous checkpoint is kept." if path.is_file() else "")
