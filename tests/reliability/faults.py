"""Faults and delays that a launched command plants in itself before it runs; see `launch.py`.

Each writes a file when it happens, so that a test can wait for it and know that it did.
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
    """Say that something happens, by one more byte in a file."""
    with Path(folder, what).open("a") as file:
        file.write(".")


def on_this_rank(rank):
    return int(os.environ.get("RANK", "0")) == rank


def before(owner, method, action):
    """Have a method do something with its object first."""
    original = getattr(owner, method)

    def acting(itself, *args, **kwargs):
        action(itself)
        return original(itself, *args, **kwargs)

    setattr(owner, method, acting)


def announce_stages(folder, seconds):
    """Mark the stages as rank 0 passes them, and stay in each for a moment."""

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
    """Announce the stages, and write down what each batch and step is."""
    trace(path)
    announce_stages(folder, seconds)


def as_installed():
    """Be started by the installed script, as Lightning then starts the other ranks."""
    sys.argv[0] = str(Path(sys.executable).with_name("pks4"))


def at_step(step, action):
    """Do something in the forward pass of a training step, counted from 1."""
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
    """SIGSTOP a rank, as a debugger or a frozen container does."""

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
    """A dataset that at some video never returns, in whichever process it decodes."""

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
    """Stay in the dataset for ever at a video of some step."""
    stages.VideoDataset = SleepingDataset
    if on_this_rank(rank):
        SleepingDataset.fault = folder, 4 * step


def sleep_in_worker(folder, rank, step):
    """The same in a data worker, which gets the fault along with the data set."""
    sleep_in_dataset(folder, rank, step)
    original = SleepingDataset.__init__

    def with_the_fault(self, *args, **kwargs):
        original(self, *args, **kwargs)
        if on_this_rank(rank):
            self.fault = folder, 4 * step

    SleepingDataset.__init__ = with_the_fault


def undecodable(rank):
    """Have the first three training videos of a rank not decode."""
    original = VideoDataset._decode
    failed = []

    def failing(self, request):
        if self.substitute and len(failed) < 3:
            failed.append(request)
            raise VideoDecodeError(f"Cannot decode video '{len(failed)}': planted.")
        return original(self, request)

    if on_this_rank(rank):
        VideoDataset._decode = failing
