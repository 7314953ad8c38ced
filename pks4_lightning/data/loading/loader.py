"""A loader that names the video if a worker stalls or dies.

A thread of the main process looks at what the workers are at, and ends one that is at the same
video for too long. PyTorch's loader notices within seconds that a worker is gone, for whatever
reason; who that was, and at which video, makes the error's sentence.
"""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from pks4_lightning.batch import VideoBatch
from pks4_lightning.data.loading.dataset import VideoDataset, join_views
from pks4_lightning.data.loading.sampler import TokenBudget, VideoSampler
from pks4_lightning.data.loading.worker_activity import OpenFiles
from pks4_lightning.data.loading.worker_process import start_worker

__all__ = ["PREFETCHED_BATCHES", "DataWorkerError", "VideoLoader", "video_loader"]

PREFETCHED_BATCHES = 2
"""Per worker."""
_SECONDS_TO_BE_KNOWN_DEAD = 1.0
_DIED_BETWEEN = (
    "A data worker died while it was at no video: something ended it, or the machine's memory ran "
    "out; fewer --data.num_workers need less."
)


class DataWorkerError(RuntimeError):
    """A process of the loader that stalled or crashed; the message names the file it was at."""


class VideoLoader(DataLoader[VideoBatch]):
    """PyTorch's loader over a :class:`VideoDataset`; names the video if a worker fails."""

    def __iter__(self) -> Iterator[VideoBatch]:  # type: ignore[override]  # a generator does
        batches = super().__iter__()
        open_files = getattr(self.dataset, "open_files", None)
        return batches if open_files is None else _watched(batches, open_files)

    def state_dict(self) -> dict[str, int]:
        """Return nothing; that it can be asked tells Lightning that epochs can be resumed midway.

        Only who uses the batches knows how many are used up: see ``resume_training`` of the data
        module.
        """
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Do nothing: the sampler of this loader begins where it should."""


def video_loader(
    dataset: VideoDataset,
    order: VideoSampler,
    *,
    requests_per_batch: int,
    num_workers: int,
    drop_last: bool,
) -> VideoLoader:
    """Return a loader with our workers' settings.

    Args:
        dataset: The split.
        order: Which videos this rank takes, and when.
        requests_per_batch: Videos per batch, each of a video's repeats counted.
        num_workers: Processes that decode; 0 decodes in the calling process.
        drop_last: Leave out a batch that is not full.
    """
    with_workers: dict[str, Any] = {}
    if num_workers > 0:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pks4_lightning.data.loading.fork_server"])
        with_workers = {
            # a forked copy of a process that has decoded video can hang for ever
            "multiprocessing_context": context,
            "persistent_workers": True,
            "prefetch_factor": PREFETCHED_BATCHES,
            "worker_init_fn": start_worker,
        }
    batches: dict[str, Any] = {
        "batch_size": requests_per_batch,
        "sampler": order,
        "drop_last": drop_last,
    }
    if order.scales is not None and order.scales.draws.scales.constant == "tokens":
        batches = {"batch_sampler": TokenBudget(order, requests_per_batch, drop_last=drop_last)}
    return VideoLoader(
        dataset,
        **batches,
        collate_fn=join_views,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        # PyTorch draws a seed for its workers, how often depends on their number; they use none of
        # it, and the global generator stays the model's alone.
        generator=torch.Generator(),
        **with_workers,
    )


def _watched(batches: Iterator[VideoBatch], open_files: OpenFiles) -> Iterator[VideoBatch]:
    finished = threading.Event()
    thread = threading.Thread(target=_watch, args=(open_files, finished), daemon=True)
    thread.start()
    try:
        yield from batches
    except (RuntimeError, OSError, EOFError) as error:
        # also raised for other reasons, or where a dead worker's clips can no longer be fetched
        sentence = _explained(open_files)
        if sentence is None and _is_of_a_dead_worker(error):
            sentence = _DIED_BETWEEN
        if sentence is None:
            raise
        raise DataWorkerError(sentence) from error
    finally:
        finished.set()
        thread.join()


def _is_of_a_dead_worker(error: Exception) -> bool:
    """Whether PyTorch says that a worker is gone, or the clips that it had cannot be fetched."""
    if "in DataLoader worker process" in str(error):
        return False  # a worker's own error, passed on
    unreachable = isinstance(error, ConnectionError | FileNotFoundError | EOFError)
    return unreachable or str(error).startswith("DataLoader worker (pid")


def _explained(open_files: OpenFiles) -> str | None:
    """Ask what happened to the workers; the end of a process may be known a moment later."""
    deadline = time.monotonic() + _SECONDS_TO_BE_KNOWN_DEAD
    while (sentence := open_files.explain()) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return sentence


def _watch(open_files: OpenFiles, finished: threading.Event) -> None:
    """End stalled workers until the epoch is over."""
    interval = min(1.0, open_files.timeout / 4)
    while not finished.wait(interval):
        open_files.end_stalled()
