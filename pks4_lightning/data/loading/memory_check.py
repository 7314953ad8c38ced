"""Whether the clips in flight fit into the memory."""

import os
from pathlib import Path

__all__ = ["check_memory"]


def check_memory(
    stage: str, *, clips: int, num_frames: int, frame_size: int, prefetched: int
) -> None:
    """Refuse clips that cannot fit: the batches in flight as bytes, and one as floats.

    Args:
        stage: For the message.
        clips: Per batch.
        num_frames: Per clip.
        frame_size: Side of the square frames, in pixels.
        prefetched: Batches that the workers prepare ahead.

    Raises:
        ValueError: If they need more memory than there is.
    """
    needed = clips * 3 * num_frames * frame_size**2 * (1 + prefetched + 4)
    available = _physical_memory()
    if needed > available:
        raise ValueError(
            f"More frames than memory allows: {stage} batches of {clips} clips × {num_frames} "
            f"frames of {frame_size} pixels need {needed / 2**30:.1f} GiB with {prefetched} "
            f"batches prepared ahead, and this machine has {available / 2**30:.1f} GiB; lower "
            "data.num_frames, data.batch_size or data.num_workers."
        )


def _physical_memory() -> float:
    """Bytes of memory of this machine, or of the container that limits it."""
    physical = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    try:
        return min(physical, float(limit.read_text()))
    except (OSError, ValueError):
        return physical
