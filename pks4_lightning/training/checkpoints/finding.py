"""Find the checkpoint that a run starts from."""

import logging
from pathlib import Path

from pks4_lightning.training.checkpoints.reading import read_checkpoint

__all__ = ["checkpoints_in", "find_checkpoint"]

logger = logging.getLogger(__name__)


def find_checkpoint(word: str, folder: Path) -> Path | None:
    """Resolve ``best``, ``last`` or ``auto`` to a file.

    Args:
        word: ``best``; ``last``, the undamaged checkpoint with the most steps; or ``auto``, which
            is ``last`` if there are checkpoints, and a new start otherwise.
        folder: The checkpoint folder of the run.

    Returns:
        The file; ``None`` for a new start. Damaged files are skipped and logged.

    Raises:
        FileNotFoundError: If there is none, and ``word`` requires one.
        ValueError: If all are damaged.
    """
    if word == "best":
        return folder / "best.ckpt"
    found = checkpoints_in(folder)
    if not found:
        if word == "auto":
            return None
        raise FileNotFoundError(
            f"There is no checkpoint in {folder}; with --ckpt_path auto a new training would start."
        )
    reasons: list[str] = []
    steps = {}
    for path in found:
        try:
            steps[path] = (read_checkpoint(path)["global_step"], path.stat().st_mtime_ns)
        except ValueError as error:
            reasons.append(str(error))
    for reason in reasons:
        logger.warning("Skipped a checkpoint: %s", reason)
    if not steps:
        raise ValueError(f"No checkpoint in {folder} can be used. {' '.join(reasons)}")
    newest = max(steps, key=lambda path: steps[path])
    logger.info("Resuming from %s, after %d steps.", newest, steps[newest][0])
    return newest


def checkpoints_in(folder: Path) -> list[Path]:
    """List the checkpoints of a folder, without remains of an interrupted save."""
    return sorted(folder.glob("[!.]*.ckpt"))
