"""Videos that cannot be decoded are counted and reported, in training and in tests."""

import multiprocessing
import os
import pickle
import shutil
from collections import deque
from multiprocessing import forkserver
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler, RandomSegmentClipSampler
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.inspection.index import index_files
from pks4_lightning.data.inspection.manifest import KnownFiles, default_manifest, read_manifest
from pks4_lightning.data.inspection.quarantine import FailureCount
from pks4_lightning.data.loading.dataset import VideoDataset, join_views
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.seeding import stable_seed
from pks4_lightning.data.video.errors import VideoDecodeError
from tests.helpers.corpus import BASES, damaged_files, write_clip

SMALL = {"num_frames": 4, "frame_size": 32, "resize": 36}


@pytest.fixture(scope="module", autouse=True)
def _quick_workers():
    """Preload the fork server with the modules that the loader's workers need."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["pks4_lightning.data.loading.dataset"]
    )
    forkserver.ensure_running()


def dataset(videos, *, substitute=False, sampler=None, **options):
    sampler = sampler or CentredSegmentClipSampler(4)
    return VideoDataset(videos, clip_sampler=sampler, substitute=substitute, **SMALL, **options)


@pytest.fixture
def videos(tmp_path):
    """Five videos: the one with index 2 is a text file, the one with index 4 is missing."""
    names = [f"{number}.mp4" for number in range(5)]
    for number in (0, 1, 3):
        write_clip(tmp_path / names[number], "bframes.mp4", seed=number)
    (tmp_path / "2.mp4").write_text("broken")
    return VideoList("list", str(tmp_path), tuple(names), (0, 1, 2, 3, 4))


def test_a_test_never_puts_another_video_in_the_place_of_one_that_failed(videos):
    sampler = CentredSegmentClipSampler(4, num_clips=2, num_crops=3)
    views = dataset(videos, sampler=sampler)[2]
    assert views["video"].shape == (6, 3, 4, 32, 32)
    assert not views["video"].any()
    assert views["valid"].tolist() == [False] * 6
    assert views["video_path"] == [videos.path(2)] * 6
    assert views["video_index"].tolist() == [2] * 6
    assert views["label"].tolist() == [2] * 6
    (reason,) = set(views["failure"])
    assert reason.startswith(f"Cannot decode video '{videos.path(2)}': ")
    assert "there is no such file" in dataset(videos)[4]["failure"][0]


def test_good_clips_and_fillers_have_no_failure(videos):
    data = dataset(videos)
    batch = join_views([data[0], data[VideoRequest(2, 0, 0, valid=False)], data[2]])
    assert [bool(reason) for reason in batch["failure"]] == [False, False, True]
    assert [bool(path) for path in batch["video_path"]] == [True, False, True]
    assert batch["valid"].tolist() == [True, False, False]


def test_in_training_a_function_of_the_request_chooses_the_substitute(videos):
    data = dataset(videos, substitute=True, sampler=RandomSegmentClipSampler(4), seed=5)
    substitutes = []
    for epoch in range(12):
        one, other = (data[VideoRequest(2, epoch, repeat, valid=True)] for repeat in range(2))
        tried = [stable_seed("substitute", 5, epoch, 2, k) % 5 for k in range(1, 11)]
        expected = next(index for index in tried if index in (0, 1, 3))
        for views in (one, other):
            assert views["video_index"].tolist() == views["label"].tolist() == [expected]
            assert views["valid"].tolist() == [True]
            assert views["video_path"] == [videos.path(expected)]
            # every file that failed in between is named
            lines = views["failure"][0].splitlines()
            assert len(lines) == 1 + tried.index(expected)
            assert videos.path(2) in lines[0]
        assert one["draw_seed"] != other["draw_seed"]
        again = data[VideoRequest(2, epoch, 0, valid=True)]
        assert torch.equal(again["video"], one["video"])
        substitutes.append(expected)
    assert len(set(substitutes)) > 1


def test_where_nothing_can_be_decoded_the_first_video_is_named(tmp_path):
    gone = VideoList("list", str(tmp_path), ("a.mp4", "b.mp4"), (0, 1))
    with pytest.raises(VideoDecodeError, match=r"b\.mp4': there is no such file"):
        dataset(gone, substitute=True)[1]


def test_one_failure_and_a_small_share_of_failures_are_tolerated(caplog):
    count = FailureCount(0.01)
    count.add(["", "Cannot decode video 'a': x."])
    count.add(["Cannot decode video 'a': x."])
    assert count.reasons == ["Cannot decode video 'a': x."]
    assert caplog.text.count("Another video replaces it.") == 1
    assert count.refusal(num_videos=10) is None
    count.add(["Cannot decode video 'b': y."])
    assert count.refusal(num_videos=200) is None
    count.add(["Cannot decode video 'c': z.\nCannot decode video 'a': x."])
    message = (
        "3 of 200 training videos cannot be decoded, more than data.max_bad_fraction 0.01 allows "
        "('a': x; 'b': y; 'c': z); quarantine them"
    )
    assert count.refusal(num_videos=200).startswith(message)


@pytest.fixture
def folders(tmp_path):
    """Class folders: train/a and train/b with four videos each, and the same in val."""
    for split in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                write_clip(folder / f"{number}.mp4", "bframes.mp4", seed=number)
    return tmp_path


def module(root, **options):
    return VideoDataModule(str(root), **{"batch_size": 2, "num_workers": 0, **SMALL, **options})


def index(root, below=".", **options):
    paths = [
        path.relative_to(root).as_posix() for path in (root / below).rglob("*") if path.is_file()
    ]
    return index_files(root, paths, default_manifest(root), num_workers=2, **options)


def epoch(loader):
    batches = list(loader)
    return {key: [item for batch in batches for item in batch[key]] for key in batches[0]}


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_training_stops_when_too_many_videos_fail(folders):
    for name in ("a/0", "b/1", "b/2"):
        (folders / "train" / f"{name}.mp4").write_text("broken")
    data = module(folders, max_bad_fraction=0.25)
    data.setup("fit")
    data.trainer = SimpleNamespace(
        training=True, global_rank=0, world_size=1, accumulate_grad_batches=1
    )
    deque(data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader())
    assert len(data.failures.reasons) == 3
    with pytest.raises(ValueError, match="3 of 8 training videos cannot be decoded"):
        data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    patient = module(folders, max_bad_fraction=0.4)
    patient.setup("fit")
    patient.trainer = data.trainer
    for batch in patient.train_dataloader():
        assert patient.on_after_batch_transfer(batch, 0)["valid"].all()


def test_training_leaves_out_what_the_manifest_quarantines_and_a_test_counts_it(folders, caplog):
    (folders / "train" / "a" / "0.mp4").write_text("broken")
    (folders / "val" / "b" / "3.mp4").write_text("broken")
    index(folders)
    data = module(folders)
    data.setup("fit")
    assert len(data.videos("train")) == 7
    assert data.videos("train").paths[0] == "a/1.mp4"
    assert data.videos("train").labels == (0, 0, 0, 1, 1, 1, 1)
    assert "quarantines 1 of the 8 train videos, such as 'train/a/0.mp4'" in caplog.text
    seen = epoch(data.val_dataloader())
    assert seen["valid"] == [True] * 7 + [False]
    assert "unreadable, by the manifest" in seen["failure"][7]
    assert set(seen["failure"][:7]) == {""}


def test_without_a_manifest_everything_works_and_a_named_one_must_exist(folders):
    data = module(folders)
    data.setup("fit")
    assert len(data.videos("train")) == 8
    with pytest.raises(FileNotFoundError, match=r"no manifest '/no/such.jsonl'; write it with"):
        module(folders, manifest="/no/such.jsonl").setup("fit")


def test_files_that_changed_after_indexing_are_not_used_and_copies_are(folders, tmp_path_factory):
    index(folders)
    copy = tmp_path_factory.mktemp("copy") / "set"
    shutil.copytree(folders, copy)
    for file in copy.rglob("*.mp4"):
        os.utime(file, (1, 1))
    flipped = copy / "val" / "a" / "1.mp4"
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    longer = copy / "val" / "a" / "2.mp4"
    longer.write_bytes(longer.read_bytes() + b"\0")
    module_ = module(copy)
    module_.setup("validate")
    seen = epoch(module_.val_dataloader())
    assert seen["valid"] == [True, False, False, True, True, True, True, True]
    assert all("it has changed since it was indexed" in seen["failure"][i] for i in (1, 2))


def test_a_manifest_of_files_by_index_can_be_pickled_for_workers(folders):
    index(folders)
    records = read_manifest(default_manifest(folders))
    paths = sorted(records)
    known = pickle.loads(pickle.dumps(KnownFiles(records, [*paths[:3], "new.mp4", *paths[3:]])))
    assert known.num_unknown == 1
    assert known.objection(3, "/anything") is None
    assert [known.num_frames(index) for index in (0, 3, 4)] == [24, None, 24]
    assert [records[path].keyframes for path in (paths[0], paths[7])] == [(0, 12), (0, 12)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """The six base clips and 60 others."""
    folder = tmp_path_factory.mktemp("originals")
    for base in BASES:
        write_clip(folder / base, base)
    for number in range(60):
        write_clip(folder / f"good{number}.mp4", "bframes.mp4", seed=1 + number)
    return folder


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_over_damaged_files_completes_and_names_them(tmp_path, originals, num_workers):
    folder = tmp_path / "val" / "clips"
    folder.mkdir(parents=True)
    good = {f"good{number}.mp4" for number in range(60)}
    for name in good:
        shutil.copyfile(originals / name, folder / name)

    def run():
        data = module(tmp_path, train="val", num_workers=num_workers, batch_size=16)
        data.setup("validate")
        seen = epoch(data.val_dataloader())
        names = [Path(path).name for path in seen["video_path"]]
        assert sorted(names) == sorted(good | damaged)  # each once
        failed = {name for name, why in zip(names, seen["failure"], strict=True) if why}
        clips = dict(zip(names, seen["video"], strict=True))
        valid = {name for name, ok in zip(names, seen["valid"], strict=True) if ok}
        assert failed.isdisjoint(valid)
        assert failed | valid == good | damaged
        return failed, {name: clips[name] for name in valid}

    damaged = {path.name for path in damaged_files(folder, originals)}
    assert len(damaged) == 234
    failed, clips = run()
    assert failed <= damaged
    whole = VideoList("list", str(originals), tuple(BASES), (0,) * len(BASES))
    expected = {
        base.partition(".")[0]: dataset(whole)[place]["video"][0]
        for place, base in enumerate(BASES)
    }
    unnoticed = [
        name for name in clips.keys() - good
        if not torch.equal(clips[name], expected[name.partition("-")[0]])
    ]  # fmt: skip
    assert len(failed) >= 0.85 * (len(failed) + len(unnoticed))
    # an index of the damaged files quarantines more, because it decodes all frames
    index(tmp_path, "val")
    more, clips = run()
    assert failed < more < damaged
    # an index made before the damage finds all of it
    for name in damaged:
        base = next(base for base in BASES if name.startswith(f"{base.partition('.')[0]}-"))
        shutil.copyfile(originals / base, folder / name)
    index(tmp_path, "val", accept_changes=True)
    assert {path.name for path in damaged_files(folder, originals)} == damaged
    failed, clips = run()
    assert failed == damaged
    assert clips.keys() == good
