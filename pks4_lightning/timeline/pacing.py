"""Frames of a stream at a fixed rate: all of a file's, or only the newest of a live source."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import av

from pks4_lightning.timeline.sources import TimedFrames

__all__ = ["Tick", "as_live", "at_rate", "latest_at_rate"]

# Matroska rounds times to milliseconds, so a frame may appear to come after its tick
_ROUNDING = 0.002


class Tick(NamedTuple):
    """A frame to classify."""

    time: float
    """Seconds from the stream's first frame."""
    frame: av.VideoFrame
    dropped: int
    """Ticks skipped since the last one, because classification took too long."""


def at_rate(frames: TimedFrames, rate: float) -> Iterator[Tick]:
    """Yield the frame on screen at each tick of a clock, as fast as frames are requested.

    The first tick is the first frame's; the last one comes before the last frame ends.

    Args:
        frames: The frames of a file.
        rate: Ticks per second.
    """
    shown: av.VideoFrame | None = None
    tick = 0
    tolerance = min(_ROUNDING, 0.1 / rate)
    for seconds, frame in frames:
        while shown is not None and tick / rate < seconds - tolerance:
            yield Tick(tick / rate, shown, 0)
            tick += 1
        shown = frame
    if shown is None:
        return
    end = seconds + (float(shown.duration * shown.time_base) if shown.time_base else 0.0)
    while tick == 0 or tick / rate < end - tolerance:
        yield Tick(tick / rate, shown, 0)
        tick += 1


@contextmanager
def latest_at_rate(
    frames: TimedFrames, rate: float, *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Iterator[Tick]]:
    """Yield the newest frame at each tick of the wall clock; older ones are never queued.

    A thread reads the source and keeps one frame. If a prediction takes longer than a tick, the
    ticks that passed are counted and skipped.

    Args:
        frames: The frames of a live source; its errors are raised when the next tick is requested.
        rate: Maximum ticks per second.
        clock: A monotonic clock in seconds.
    """
    reader = _Reader(frames)
    reader.start()
    try:
        yield _newest(reader, rate, clock)
    finally:
        reader.stop()


def as_live(
    frames: TimedFrames,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> TimedFrames:
    """Yield a file's frames at the times at which a camera would have delivered them.

    Args:
        frames: The frames of the file.
        clock: A monotonic clock in seconds.
        sleep: Waits for a number of seconds.
    """
    start = clock()
    for seconds, frame in frames:
        sleep(max(0.0, start + seconds - clock()))
        yield seconds, frame


class _Reader(threading.Thread):
    """Reads a source as fast as it comes and keeps the newest frame."""

    def __init__(self, frames: TimedFrames) -> None:
        super().__init__(daemon=True)
        self._frames = frames
        self._changed = threading.Condition()
        self._newest: tuple[float, av.VideoFrame] | None = None
        self._error: Exception | None = None
        self._has_ended = False
        self._is_stopped = False

    def run(self) -> None:
        try:
            for timed in self._frames:
                with self._changed:
                    self._newest = timed
                    self._changed.notify()
                    if self._is_stopped:
                        return
        except Exception as error:  # raised again in the consumer
            self._error = error
        with self._changed:
            self._has_ended = True
            self._changed.notify()

    def take(self, seconds: float) -> tuple[float, av.VideoFrame] | None:
        """Wait for a frame that has not been taken yet; ``None`` at the end of the source."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._has_ended, seconds)
            timed, self._newest = self._newest, None
            if timed is None and self._error is not None:
                raise self._error
            return timed

    @property
    def has_ended(self) -> bool:
        """Whether no frame is left to take."""
        with self._changed:
            return self._has_ended and self._newest is None and self._error is None

    def stop(self) -> None:
        """Stop the thread at the next frame."""
        self._is_stopped = True
        self.join(timeout=1.0)


def _newest(reader: _Reader, rate: float, clock: Callable[[], float]) -> Iterator[Tick]:
    start: float | None = None
    next_tick = 0
    while not reader.has_ended:
        timed = reader.take(0.5)
        if timed is None:
            continue
        now = clock()
        start = now if start is None else start
        tick = int((now - start) * rate + 1e-6)
        if tick < next_tick:  # too early for the next prediction: a newer frame will come
            time.sleep(max(0.0, start + next_tick / rate - now))
            newer = reader.take(0.0)
            timed = timed if newer is None else newer
            tick = next_tick
        yield Tick(timed[0], timed[1], max(0, tick - next_tick))
        next_tick = tick + 1
