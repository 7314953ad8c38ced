"""Which checkpoint of a folder a run starts from."""

import logging
from pathlib import Path

from pks4_lightning.training.checkpoints.reading import read_checkpoint

__all__ = ["checkpoints_in", "find_checkpoint"]

logger = logging.getLogger(__name__)


def find_checkpoint(word: str, folder: Path) -> Path | None:
    """Turn ``best``, ``last`` or ``auto`` into a file.

    Args:
        word: ``best``; ``last``, the one with the most steps of those that are whole; or ``auto``,
            which is ``last`` where there are checkpoints and a fresh start where there are none.
        folder: Where the run keeps its checkpoints.

    Returns:
        The file; ``None`` for a fresh start. Damaged files are passed over and logged.

    Raises:
        FileNotFoundError: If there is none, and ``word`` asks for one.
        ValueError: If there are some, and all are damaged.
    """
    if word == "best":
        return folder / "best.ckpt"
    found = checkpoints_in(folder)
    if not found:
        if word == "auto":
            return None
        raise FileNotFoundError(
            f"There is no checkpoint in {folder}; --ckpt_path auto starts afresh in that case."
        )
    reasons: list[str] = []
    steps = {}
    for path in found:
        try:
            steps[path] = (read_checkpoint(path)["global_step"], path.stat().st_mtime_ns)
        except ValueError as error:
            reasons.append(str(error))
    for reason in reasons:
        logger.warning("Passed over: %s", reason)
    if not steps:
        raise ValueError(f"No checkpoint in {folder} can be used. {' '.join(reasons)}")
    newest = max(steps, key=lambda path: steps[path])
    logger.info("Continuing from %s, after %d steps.", newest, steps[newest][0])
    return newest


def checkpoints_in(folder: Path) -> list[Path]:
    """List a folder's checkpoints, without what an interrupted save left there."""
    return sorted(folder.glob("[!.]*.ckpt"))
