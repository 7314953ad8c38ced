"""Resident memory of this process on Linux."""

import os
from pathlib import Path

import pytest

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return the resident memory in bytes; skip the test where it is not available."""
    if not _STATM.is_file():
        pytest.skip("needs /proc/self/statm")
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
