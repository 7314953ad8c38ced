"""Workers that stall or die: the current video is named, and no process is left behind."""

import gc
import multiprocessing
import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pks4_lightning.cli.errors import user_error
from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.loading.loader import DataWorkerError, video_loader
from pks4_lightning.data.loading.sampler import VideoSampler
from pks4_lightning.data.loading.worker_activity import OpenFiles

# a clip sampler imported by the workers, so that its faults happen there
SAMPLER = """
import os, signal, time
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler

class Faulty(CentredSegmentClipSampler):
    fault = None

    def select_frames(self, video_frames, clip_index, draw):
        if video_frames == 13 and self.fault == "stall":
            time.sleep(600)
        if video_frames == 13 and self.fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().select_frames(video_frames, clip_index, draw)
"""


@pytest.fixture(scope="module")
def faulty_sampler(tmp_path_factory):
    folder = tmp_path_factory.mktemp("module")
    (folder / "faulty_sampler.py").write_text(SAMPLER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield __import__("faulty_sampler").Faulty


@pytest.fixture(scope="module")
def videos(tmp_path_factory, write_video):
    """Ten videos of 8 frames, except index 5, which has 13."""
    folder = tmp_path_factory.mktemp("videos")
    names = [f"{number}.mp4" for number in range(10)]
    for number, name in enumerate(names):
        write_video(folder / name, 13 if number == 5 else 8)
    return VideoList("list", str(folder), tuple(names), (0,) * 10)


def loader(videos, faulty_sampler, fault, *, timeout=3.0):
    sampler = faulty_sampler(4)
    sampler.fault = fault
    dataset = VideoDataset(
        videos,
        clip_sampler=sampler,
        num_frames=4,
        frame_size=32,
        resize=36,
        open_files=OpenFiles(2, timeout=timeout),
    )
    return video_loader(
        dataset, VideoSampler(10), requests_per_batch=2, num_workers=2, drop_last=False
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("stall", "more than 3 seconds (data.worker_timeout) on"),
        ("crash", "A data worker died on the video"),
    ],
)
def test_the_video_that_a_worker_failed_at_is_named(videos, faulty_sampler, fault, words):
    batches = loader(videos, faulty_sampler, fault)
    seen = []
    with pytest.raises(DataWorkerError) as caught:
        seen.extend(batch["video_index"].tolist() for batch in batches)
    assert f"'{videos.path(5)}'" in str(caught.value)
    assert words in str(caught.value)
    assert user_error(caught.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    # a worker's finished clips may be lost when it dies
    assert seen == [[0, 1], [2, 3]][: len(seen)]
    del batches, caught
    gc.collect()
    assert multiprocessing.active_children() == []


def test_workers_that_are_ended_between_two_videos_end_the_epoch_with_a_sentence(
    videos, faulty_sampler
):  # fmt: skip
    whole = loader(videos, faulty_sampler, None)
    batches = iter(whole)
    next(batches)
    deadline = time.monotonic() + 60
    while whole.dataset.open_files.slots() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)  # wait for the last clips
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
    with pytest.raises(DataWorkerError) as caught:
        list(batches)
    assert "A data worker died while processing no video" in str(caught.value)
    assert user_error(caught.value) == str(caught.value)


def test_without_faults_every_video_comes_in_every_epoch(videos, faulty_sampler):
    batches = loader(videos, faulty_sampler, None)
    for _ in range(2):
        seen = [index for batch in batches for index in batch["video_index"].tolist()]
        assert seen == list(range(10))
    assert batches.dataset.open_files.slots() == []


def test_the_shared_file_is_removed_with_the_loader_alone():
    files = OpenFiles(2, timeout=1.0)
    path = Path(files._name)
    copy = pickle.loads(pickle.dumps(files))
    del copy
    assert path.stat().st_size > 0
    del files
    assert not path.exists()


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("num_videos", [1, 7])
def test_every_video_occurs_once_per_epoch_for_any_ranks_and_workers(
    videos, num_videos, world_size, num_workers
):
    some = replace(videos, paths=videos.paths[:num_videos], labels=videos.labels[:num_videos])
    dataset = VideoDataset(
        some,
        clip_sampler=CentredSegmentClipSampler(2),
        num_frames=2,
        frame_size=16,
        resize=16,
        open_files=OpenFiles(num_workers, timeout=60.0) if num_workers else None,
    )
    seen = []
    lengths = set()
    for rank in range(world_size):
        order = VideoSampler(num_videos, shuffle=True, rank=rank, world_size=world_size)
        order.set_epoch(1)
        batches = list(
            video_loader(
                dataset, order, requests_per_batch=2, num_workers=num_workers, drop_last=False
            )
        )
        lengths.add(len(batches))
        for batch in batches:
            seen += batch["video_index"][batch["valid"]].tolist()
            assert batch["failure"] == [""] * len(batch["label"])
    assert sorted(seen) == list(range(num_videos))
    assert len(lengths) == 1
