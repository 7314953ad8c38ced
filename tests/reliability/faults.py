"""Faults and delays that a launched command plants in itself before it runs; see `launch.py`.

Each writes a file when it happens, so that a test can wait for it.
"""

import os
import signal
import sys
import time
from pathlib import Path

from pks4_lightning.data.loading import stages
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.video.errors import VideoDecodeError
from pks4_lightning.training.task import VideoClassificationTask
from tests.reliability.traces import trace


def mark(folder, what):
    """Record an event by appending a byte to a file."""
    with Path(folder, what).open("a") as file:
        file.write(".")


def on_this_rank(rank):
    return int(os.environ.get("RANK", "0")) == rank


def before(owner, method, action):
    """Patch a method to call ``action`` with its object first."""
    original = getattr(owner, method)

    def acting(itself, *args, **kwargs):
        action(itself)
        return original(itself, *args, **kwargs)

    setattr(owner, method, acting)


def announce_stages(folder, seconds):
    """Mark the stages that rank 0 passes, and pause in each."""

    def announced(stage):
        def action(task):
            if on_this_rank(0):
                mark(folder, "sanity check" if task.trainer.sanity_checking else stage)
            time.sleep(seconds)

        return action

    before(VideoClassificationTask, "training_step", announced("train"))
    before(VideoClassificationTask, "validation_step", announced("validation"))
    before(VideoClassificationTask, "test_step", announced("test"))
    before(VideoClassificationTask, "on_save_checkpoint", announced("saving"))


def announce_and_trace(folder, seconds, path):
    """Announce the stages, and trace each batch and step."""
    trace(path)
    announce_stages(folder, seconds)


def as_installed():
    """Pretend to be the installed script, which Lightning then starts for the other ranks."""
    sys.argv[0] = str(Path(sys.executable).with_name("pks4"))


def at_step(step, action):
    """Call ``action`` at the beginning of a training step, counted from 1."""
    done = [0]

    def acting(_task):
        done[0] += 1
        if done[0] == step:
            action()

    before(VideoClassificationTask, "training_step", acting)


def worker_killed(folder, rank, step):
    """SIGKILL the data workers of a rank."""
    import multiprocessing

    def action():
        mark(folder, "fired")
        for worker in multiprocessing.active_children():
            worker.kill()

    if on_this_rank(rank):
        at_step(step, action)


def rank_killed(folder, rank, step):
    """SIGKILL a rank."""

    def action():
        mark(folder, "fired")
        os.kill(os.getpid(), signal.SIGKILL)

    if on_this_rank(rank):
        at_step(step, action)


def rank_stopped(folder, rank, step):
    """SIGSTOP a rank, like a debugger or a frozen container."""

    def action():
        mark(folder, "fired")
        os.kill(os.getpid(), signal.SIGSTOP)

    if on_this_rank(rank):
        at_step(step, action)


def exception_in_forward(folder, rank, step):
    """Raise on one rank."""

    def action():
        mark(folder, "fired")
        raise RuntimeError("planted in the forward pass")

    if on_this_rank(rank):
        at_step(step, action)


class SleepingDataset(VideoDataset):
    """A dataset that hangs at some video, in the process that decodes it."""

    fault = None

    def _views(self, request, path):
        if self.fault is not None:
            folder, videos_before = self.fault
            self.fault = folder, videos_before - 1
            if videos_before == 0:
                mark(folder, "fired")
                sleep_for_ever()
        return super()._views(request, path)


def sleep_for_ever():
    time.sleep(10_000)


def sleep_in_dataset(folder, rank, step):
    """Hang in the dataset at a video of some step."""
    stages.VideoDataset = SleepingDataset
    if on_this_rank(rank):
        SleepingDataset.fault = folder, 4 * step


def sleep_in_worker(folder, rank, step):
    """Hang in a data worker, which receives the fault with the dataset."""
    sleep_in_dataset(folder, rank, step)
    original = SleepingDataset.__init__

    def with_the_fault(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if on_this_rank(rank):
            self.fault = folder, 4 * step

    SleepingDataset.__init__ = with_the_fault


def undecodable(rank):
    """Make decoding of the first three training videos of a rank fail."""
    original = VideoDataset._decode
    failed = []

    def failing(self, request):
        if self.substitute and len(failed) < 3:
            failed.append(request)
            raise VideoDecodeError(f"Cannot decode video '{len(failed)}': planted.")
        return original(self, request)

    if on_this_rank(rank):
        VideoDataset._decode = failing
