"""Whether the clips in flight fit into the memory, and the workers onto the cores."""

import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["check_cores", "check_memory", "check_shared_memory"]

logger = logging.getLogger(__name__)

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is written there by us
"""Where PyTorch's workers put their batches, on Linux."""


def check_memory(
    stage: str, *, clips: int, num_frames: int, frame_size: int, prefetched: int
) -> int:
    """Refuse clips that cannot fit: the batches in flight as bytes, and one as floats.

    Args:
        stage: For the message.
        clips: Per batch.
        num_frames: Per clip.
        frame_size: Side of the square frames, in pixels.
        prefetched: Batches that the workers prepare ahead.

    Returns:
        The bytes of the batches that workers have prepared and the one that is in use.

    Raises:
        ValueError: If they need more memory than there is.
    """
    batch = clips * 3 * num_frames * frame_size**2
    needed = batch * (1 + prefetched + 4)
    available = _physical_memory()
    if needed > available:
        raise ValueError(
            f"More frames than memory allows: {stage} batches of {clips} clips × {num_frames} "
            f"frames of {frame_size} pixels need {needed / 2**30:.1f} GiB with {prefetched} "
            f"batches prepared ahead, and this machine has {available / 2**30:.1f} GiB; lower "
            "data.num_frames, data.batch_size or data.num_workers."
        )
    return batch * (1 + prefetched)


def check_shared_memory(needed: Mapping[str, int], *, num_workers: int, ranks: int) -> None:
    """Refuse batches for which shared memory is too small: a run would hang at the first one lost.

    Args:
        needed: Bytes of the batches in flight, by stage; stages of a training share the memory.
        num_workers: Processes that decode. Without any, no memory is shared.
        ranks: Processes on this machine that have as many workers each.

    Raises:
        ValueError: If they do not fit into what is free.
    """
    if not num_workers or not _SHARED_MEMORY.is_dir():
        return
    total = ranks * sum(needed.values())
    status = os.statvfs(_SHARED_MEMORY)
    free = status.f_bavail * status.f_frsize
    if total > free:
        raise ValueError(
            f"The {' and '.join(needed)} batches of {num_workers} workers need "
            f"{_megabytes(total)} of shared memory, and {_SHARED_MEMORY} has {_megabytes(free)} "
            f"free ({total} and {free} bytes): start the container with --shm-size "
            f"{-(-total // 2**30) + 1}g or --ipc host, or lower data.num_workers (0 needs none), "
            "data.batch_size or data.num_frames."
        )


@functools.cache
def check_cores(num_workers: int, *, ranks: int) -> None:
    """Say so, once, where there are more workers than cores.

    Args:
        num_workers: Processes that decode, of each rank.
        ranks: Processes on this machine.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    if num_workers * ranks > cores:
        of_ranks = f" of each of {ranks} ranks" if ranks > 1 else ""
        logger.info(
            "data.num_workers is %d%s, and this machine has %d cores: more workers than cores "
            "rarely decode more, and need more memory.",
            *(num_workers, of_ranks, cores),
        )


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _physical_memory() -> float:
    """Bytes of memory of this machine, or of the container that limits it."""
    physical = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(physical, float(limit.read_text()))
    except (OSError, ValueError):
        return physical
