"""Writes checkpoints whole: after a kill at any moment there is the old one or the new one."""

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
    """Stages a checkpoint in its own folder, seals it, reads it back, and only then renames it.

    Lightning's own plugin stages in the folder for temporary files. Where that is another file
    system, its last step is a copy, which a kill or a full disk leaves torn; and it returns as if
    all were well if the folder is read-only. Here nothing is swallowed.

    Strategies that write one file per checkpoint use it, DDP and FSDP2 among them (FSDP2 reads by
    itself). A strategy told to write a folder of shards (``save_distributed_checkpoint``) does so
    without it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._newest: Path | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: What Lightning has collected.
            path: The file; what is there stays until the new one is whole and on the disk.
            storage_options: Lightning's; not used.

        Raises:
            OSError: If it cannot be written, with the sizes needed and free.
            ValueError: If a weight or a state of the optimiser is not finite.
        """
        path = Path(path)
        check_finite(checkpoint)
        sealing = None
        try:
            with atomic_write(path) as staged:
                with staged.open("wb") as file:
                    sealing = SealingFile(file)
                    torch.save(checkpoint, sealing)  # type: ignore[arg-type]  # no more is used
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
            ValueError: If it is damaged, or holds more than weights and plain values.
        """
        checkpoint, is_verified = load_checked(path)
        if not is_verified:
            logger.warning("%s has no checksum: it is not verified.", path)
        # Lightning asks for it to bring old files up to date; an export has none
        return {"pytorch-lightning_version": lightning_version, **checkpoint}

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint that another one has taken the place of.

        Lightning goes by names, and one file can have two. The file that was written last stays.

        Args:
            path: The file, or a folder of shards.
        """
        if Path(path).resolve() != self._newest:
            super().remove_checkpoint(path)


def check_folder(folder: Path, *, parameters: int) -> None:
    """Refuse, before the first step, a folder that the checkpoints will not fit into.

    Args:
        folder: Where they go; made if need be.
        parameters: Number of weights of the model.

    Raises:
        OSError: If nothing can be written there, or too little space is left.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    # The best one, the last one and the next one while it is written: each holds every weight and
    # AdamW's two moments in 4 bytes. Those that are there already take no more space.
    copies = max(1, 3 - len(list(there.glob("[!.]*.ckpt"))) if there == folder else 3)
    needed, free = parameters * 12 * copies, shutil.disk_usage(there).free
    if free < needed:
        raise OSError(
            f"There is too little space for the checkpoints in {folder}: they need about "
            f"{needed:,} bytes, {free:,} are free. Make room, or choose another folder with "
            "--trainer.default_root_dir."
        )
    check_writable(folder, what="checkpoint", option="--trainer.default_root_dir")


def _read_back(path: Path) -> None:
    try:
        check_seal(path)
    except ValueError as error:
        raise OSError("it reads back otherwise than it was written") from error


def _sync(folder: Path) -> None:
    """Bring a folder's list of names to the disk, so that a rename survives a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _why_not(path: Path, error: OSError, *, size: int) -> str:
    sentence = f"The checkpoint {path} cannot be written: {error.strerror or error}."
    if size:
        free = shutil.disk_usage(path.parent).free
        sentence += f" It needs {size:,} bytes, {free:,} are free there."
    return sentence + (" The checkpoint before it is kept." if path.is_file() else "")
