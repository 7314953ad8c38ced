"""Count the cores that this process may use."""

import math
import os
from pathlib import Path

__all__ = ["num_cores"]

_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Time on all cores per period, both in microseconds; the first is ``max`` without a limit."""


def num_cores() -> int:
    """Return the number of cores that this process may use.

    In a container these are fewer than the machine has, which is what ``os.cpu_count`` returns. A
    limit such as 1.5 cores counts as 2.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        time, period = _LIMIT.read_text(encoding="ascii").split()
        return min(cores, math.ceil(int(time) / int(period)))
    except (OSError, ValueError):
        return cores
