"""Record which video each worker is processing, so that one that stalls or crashes can be named.

Each worker writes the path of a video into its slot of a small shared file before opening the
video, and clears the slot afterwards. The slot of a dead worker names the video that it died on.
"""

import multiprocessing
import os
import struct
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torch.utils.data import get_worker_info

__all__ = ["OpenFiles", "videos_at_work"]

_SLOT_BYTES = 8192
_HEAD = struct.Struct("<qdi")
"""Process, time of opening, and number of path bytes; process 0 means no file."""


_in_use: "weakref.WeakSet[OpenFiles]" = weakref.WeakSet()


def videos_at_work() -> list[str]:
    """Return the videos that this process's workers are processing, the longest-running first."""
    slots = [slot for files in list(_in_use) for slot in files.slots()]
    return [slot.path for slot in sorted(slots, key=lambda slot: slot.opened)]


class _Slot(NamedTuple):
    pid: int
    opened: float
    path: str


class OpenFiles:
    """The video that each worker is processing.

    Args:
        num_workers: Workers of the loader.
        timeout: Seconds that a worker may spend on one video.
    """

    def __init__(self, num_workers: int, *, timeout: float) -> None:
        self.num_workers = num_workers
        self.timeout = timeout
        handle, self._name = tempfile.mkstemp(prefix="pks4-open-files-")
        os.truncate(handle, num_workers * _SLOT_BYTES)
        os.close(handle)
        # workers get a copy without the finaliser: the main process's object removes the file
        self._removal = weakref.finalize(self, Path(self._name).unlink, missing_ok=True)
        self._handle: int | None = None
        self._ended: set[int] = set()
        _in_use.add(self)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_removal": None, "_handle": None}

    @contextmanager
    def at(self, path: str) -> Iterator[None]:
        """Record in a worker that a video is being processed; elsewhere do nothing.

        Args:
            path: The video.
        """
        worker = get_worker_info()
        if worker is None:
            yield
            return
        if self._handle is None:
            self._handle = os.open(self._name, os.O_WRONLY)
        name = os.fsencode(path)[: _SLOT_BYTES - _HEAD.size]
        place = worker.id * _SLOT_BYTES
        os.pwrite(self._handle, _HEAD.pack(os.getpid(), time.monotonic(), len(name)) + name, place)
        try:
            yield
        finally:
            os.pwrite(self._handle, _HEAD.pack(0, 0.0, 0), place)

    def slots(self) -> list[_Slot]:
        """Return the videos that workers are processing, or died on, the oldest first."""
        found = []
        with Path(self._name).open("rb") as file:
            for worker in range(self.num_workers):
                file.seek(worker * _SLOT_BYTES)
                slot = file.read(_SLOT_BYTES)
                pid, opened, length = _HEAD.unpack_from(slot)
                if pid:
                    name = slot[_HEAD.size : _HEAD.size + length]
                    found.append(_Slot(pid, opened, os.fsdecode(name)))
        return sorted(found, key=lambda slot: slot.opened)

    def end_stalled(self) -> None:
        """Kill the workers that have spent too long on one video."""
        latest = time.monotonic() - self.timeout
        stalled = {slot.pid for slot in self.slots() if slot.opened < latest}
        for child in multiprocessing.active_children():
            if child.pid in stalled:
                self._ended.add(child.pid)
                child.kill()

    def explain(self) -> str | None:
        """Return the sentence about dead workers; ``None`` if none was processing a video."""
        alive = {child.pid for child in multiprocessing.active_children()}
        dead = [slot for slot in self.slots() if slot.pid not in alive]
        if not dead:
            return None
        if dead[0].pid in self._ended:
            return (
                f"A data worker spent more than {self.timeout:g} seconds (data.worker_timeout) on "
                f"the video '{dead[0].path}' and was killed; pks4 data index "
                "finds files that stall, or raise the limit if the disk is slow."
            )
        named = " or ".join(f"'{slot.path}'" for slot in dead)
        return (
            f"A data worker died on the video {named}; pks4 data index finds files that crash "
            "their decoder, and training then skips them."
        )
