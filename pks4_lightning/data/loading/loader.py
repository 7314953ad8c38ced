"""A data loader that names the video if a worker stalls or dies.

A thread of the main process monitors the workers and kills one that spends too long on a video.
PyTorch's loader notices within seconds that a worker is gone, for whatever reason; the error
message then names the video that it was processing.
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
    "A data worker died while processing no video: it was killed, or the machine ran out of "
    "memory; lower --data.num_workers to use less."
)


class DataWorkerError(RuntimeError):
    """A worker that stalled or crashed; the message names the file it was processing."""


class VideoLoader(DataLoader[VideoBatch]):
    """PyTorch's loader for a :class:`VideoDataset`; names the video if a worker fails."""

    def __iter__(self) -> Iterator[VideoBatch]:  # type: ignore[override]  # a generator does
        batches = super().__iter__()
        open_files = getattr(self.dataset, "open_files", None)
        return batches if open_files is None else _watched(batches, open_files)

    def state_dict(self) -> dict[str, int]:
        """Return nothing; the method tells Lightning that epochs can be resumed midway.

        Only the consumer of the batches knows how many are used: see ``resume_training`` of the
        data module.
        """
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Do nothing: the sampler of this loader already begins at the right place."""


def video_loader(
    dataset: VideoDataset,
    order: VideoSampler,
    *,
    requests_per_batch: int,
    num_workers: int,
    drop_last: bool,
) -> VideoLoader:
    """Return a loader with the settings that our workers need.

    Args:
        dataset: The split.
        order: The videos of this rank, in order.
        requests_per_batch: Requests per batch; each repeat of a video counts.
        num_workers: Processes that decode; 0 decodes in the calling process.
        drop_last: Drop an incomplete last batch.
    """
    with_workers: dict[str, Any] = {}
    if num_workers > 0:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pks4_lightning.data.loading.fork_server"])
        with_workers = {
            # a process forked from one that has decoded video can hang for ever
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
        # PyTorch draws seeds for its workers, depending on their number. Our workers do not use
        # them; a separate generator keeps the global one for the model.
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
        # may have other causes; also raised if the clips of a dead worker cannot be fetched
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
    """Return whether PyTorch reports a dead worker, or its clips cannot be fetched."""
    if "in DataLoader worker process" in str(error):
        return False  # an error raised in a worker and passed on
    unreachable = isinstance(error, ConnectionError | FileNotFoundError | EOFError)
    return unreachable or str(error).startswith("DataLoader worker (pid")


def _explained(open_files: OpenFiles) -> str | None:
    """Explain what happened to the workers; the exit of a process may become known with a delay."""
    deadline = time.monotonic() + _SECONDS_TO_BE_KNOWN_DEAD
    while (sentence := open_files.explain()) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    return sentence


def _watch(open_files: OpenFiles, finished: threading.Event) -> None:
    """Kill stalled workers until the epoch is over."""
    interval = min(1.0, open_files.timeout / 4)
    while not finished.wait(interval):
        open_files.end_stalled()
