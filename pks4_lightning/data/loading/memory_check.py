"""Check that the clips in flight fit into memory, and the workers onto the cores."""

import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pks4_lightning.cores import num_cores

__all__ = ["check_cores", "check_memory", "check_shared_memory"]

logger = logging.getLogger(__name__)

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is written there by us
"""Where PyTorch's workers place their batches, on Linux."""


def check_memory(
    stage: str, *, clips: int, num_frames: int, frame_size: int, prefetched: int
) -> int:
    """Refuse clips that cannot fit: all batches in flight as bytes, and one as floats.

    Args:
        stage: Name of the stage, for the message.
        clips: Clips per batch.
        num_frames: Frames per clip.
        frame_size: Side of the square frames, in pixels.
        prefetched: Number of batches that the workers prefetch.

    Returns:
        The bytes of the prefetched batches and the one in use.

    Raises:
        ValueError: If they need more memory than there is.
    """
    batch = clips * 3 * num_frames * frame_size**2
    needed = batch * (1 + prefetched + 4)
    available = _physical_memory()
    if needed > available:
        raise ValueError(
            f"The frames do not fit into memory: {stage} batches of {clips} clips × {num_frames} "
            f"frames of {frame_size} pixels need {needed / 2**30:.1f} GiB with {prefetched} "
            f"batches prefetched, but this machine has {available / 2**30:.1f} GiB; lower "
            "data.num_frames, data.batch_size or data.num_workers."
        )
    return batch * (1 + prefetched)


def check_shared_memory(needed: Mapping[str, int], *, num_workers: int, ranks: int) -> None:
    """Refuse batches that exceed shared memory: the run would hang when a batch is lost.

    Args:
        needed: Bytes of the batches in flight, by stage; the stages of a training share the memory.
        num_workers: Processes that decode. Without any, no memory is shared.
        ranks: Number of processes on this machine, each with as many workers.

    Raises:
        ValueError: If they do not fit into the free shared memory.
    """
    if not num_workers or not _SHARED_MEMORY.is_dir():
        return
    total = ranks * sum(needed.values())
    status = os.statvfs(_SHARED_MEMORY)
    free = status.f_bavail * status.f_frsize
    if total > free:
        raise ValueError(
            f"The {' and '.join(needed)} batches of {num_workers} workers need "
            f"{_megabytes(total)} of shared memory, but {_SHARED_MEMORY} has {_megabytes(free)} "
            f"free ({total} and {free} bytes): start the container with --shm-size "
            f"{-(-total // 2**30) + 1}g or --ipc host, or lower data.num_workers (0 needs none), "
            "data.batch_size or data.num_frames."
        )


@functools.cache
def check_cores(num_workers: int, *, ranks: int) -> None:
    """Log once if there are more workers than cores.

    Args:
        num_workers: Processes that decode, per rank.
        ranks: Number of processes on this machine.
    """
    cores = num_cores()
    if num_workers * ranks > cores:
        of_ranks = f" of each of {ranks} ranks" if ranks > 1 else ""
        logger.info(
            "data.num_workers is %d%s, but this machine has %d cores: more workers than cores "
            "are rarely faster and need more memory.",
            *(num_workers, of_ranks, cores),
        )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _physical_memory() -> float:
    """Return the memory of this machine, or of the container that limits it, in bytes."""
    physical = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(physical, float(limit.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return physical
