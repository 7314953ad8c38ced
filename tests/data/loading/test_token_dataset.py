"""Clips as cached tokens: the same draws as for decoded clips, each view computed once."""

import itertools
import threading
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.pool import ClipPool
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler, RandomSegmentClipSampler
from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.loading.dataset import VideoDataset
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.loading.token_dataset import TokenDataset
from pks4_lightning.data.loading.token_store import TokenStore

P, V = 10, 3
CHANGES = Augmentation(
    scale=(0.5, 1.0), flip=0.5, reverse=0.5, reverse_label_pairs=[(0, 1), (2, 2)]
)


def encode(video):
    """Stand-in for frozen blocks, which process frames separately: means of 16 × 16 pixels."""
    frames = F.avg_pool2d(video.float().transpose(1, 2).flatten(0, 1), 16)
    return frames.flatten(2).transpose(1, 2).unflatten(0, (-1, video.shape[2]))


class Counted:
    def __init__(self, most=1000):
        self.calls, self.most = 0, most

    def __call__(self, video):
        if self.calls == self.most:
            raise KeyboardInterrupt
        self.calls += 1
        return encode(video)


@pytest.fixture
def videos(tmp_path, write_video):
    """Three videos, two of which are longer than the pool."""
    folder = tmp_path / "videos"
    for name, num_frames in (("a.mp4", 40), ("b.mp4", 16), ("c.mp4", 6)):
        write_video(folder / name, num_frames)
    return VideoList("list", str(folder), ("a.mp4", "b.mp4", "c.mp4"), (0, 1, 2))


@pytest.fixture
def make(videos, tmp_path):
    """Make a dataset of pixels, or of tokens cached in a folder."""

    def build(*, stage="train", kind=TokenDataset, terms=1, **options):
        training = stage == "train"
        settings = {
            "clip_sampler": (RandomSegmentClipSampler if training else CentredSegmentClipSampler)(
                4
            ),
            "augmentation": CHANGES if training else None,
            "flipped_labels": (1, 0, 2) if training else (),
            "reversed_labels": (1, 0, 2) if training else (),
            "pool": ClipPool(P, V),
            "num_frames": 4,
            "frame_size": 64,
            "resize": 64,
            **options,
        }
        if kind is TokenDataset:
            store = TokenStore(tmp_path / "cache", {"terms": terms})
            kind = partial(TokenDataset, store=store)
        return kind(videos, **settings)

    return build


def requests(num_epochs=8):
    for epoch, index in itertools.product(range(num_epochs), range(3)):
        yield VideoRequest(index, epoch, 0, valid=True)


@pytest.mark.parametrize("stage", ["train", "test"])
def test_a_cached_clip_equals_the_decoded_one(make, stage):
    pixels, tokens = make(stage=stage, kind=VideoDataset), make(stage=stage)
    tokens.fill(encode)
    labels = set()
    for request in requests():
        expected, found = pixels[request], tokens[request]
        torch.testing.assert_close(found["video"], encode(expected["video"]), rtol=0, atol=1e-4)
        for name in ("label", "video_index", "view_index", "valid", "draw_seed", "video_path"):
            assert list(found[name]) == list(expected[name])
        labels.add((request.video_index, found["label"].item()))
    swapped = {(0, 1), (1, 0)} if stage == "train" else set()
    assert labels == {(0, 0), (1, 1), (2, 2)} | swapped


def test_training_sees_a_view_again_and_every_run_the_same(make):
    dataset = make(kind=VideoDataset, clip_sampler=CentredSegmentClipSampler(4))
    plain = Augmentation(scale=(0.3, 1.0), flip=0.0)
    dataset.augmentation = plain
    other = make(kind=VideoDataset, clip_sampler=CentredSegmentClipSampler(4), seed=7)
    other.augmentation = plain
    shown = [
        {
            each[VideoRequest(0, epoch, 0, valid=True)]["video"].numpy().tobytes()
            for epoch in range(30)
        }
        for each in (dataset, other)
    ]
    assert len(shown[0]) == V
    assert shown[0] == shown[1]


def test_cached_tokens_are_not_computed_again(make):
    interrupted = Counted(most=4)
    with pytest.raises(KeyboardInterrupt):
        make().fill(interrupted)
    rest = Counted()
    make().fill(rest)
    assert interrupted.calls + rest.calls == 3 * V
    fixed = Counted()
    make(stage="val").fill(fixed)
    assert fixed.calls == 3, "the view that nothing is drawn for"
    for stage in ("train", "test"):
        make(stage=stage).fill(Counted(most=0))


def test_changes_that_affect_tokens_recompute_them(make, videos, write_video, tmp_path):
    make().fill(encode)
    other = Counted()
    make(terms=2).fill(other)
    assert other.calls == 3 * V
    write_video(tmp_path / "videos" / "b.mp4", 17)
    replaced = Counted()
    make().fill(replaced)
    assert replaced.calls == V


@pytest.mark.parametrize("change", ["picture", "template", "listed_frames"])
def test_changes_of_a_folder_of_pictures_recompute_its_tokens(tmp_path, change):
    folder = tmp_path / "videos" / "a"
    folder.mkdir(parents=True)
    colours = {"img": (200, 0, 0), "flow": (0, 0, 200)}
    for number, (name, colour) in itertools.product(range(4), colours.items()):
        Image.new("RGB", (64, 64), colour).save(folder / f"{name}_{number}.png")

    def tokens(template="img_{}.png", listed=()):
        videos = VideoList(
            "list",
            *(str(folder.parent), ("a",), (0,)),
            listed_frames=listed,
            frame_template=template,
        )
        dataset = TokenDataset(
            videos,
            store=TokenStore(tmp_path / "cache", {}),
            clip_sampler=CentredSegmentClipSampler(2),
            pool=ClipPool(4, 1),
            num_frames=2,
            frame_size=64,
            resize=64,
        )
        dataset.fill(encode)
        return dataset[VideoRequest(0, 0, 0, valid=True)]["video"]

    before = tokens()
    if change == "picture":
        date = folder.stat().st_mtime_ns
        Image.new("RGB", (64, 64), (0, 200, 0)).save(folder / "img_1.png")
        assert folder.stat().st_mtime_ns == date, "overwriting a file leaves its folder's date"
    options = {"template": {"template": "flow_{}.png"}, "listed_frames": {"listed": (1,)}}
    after = tokens(**options.get(change, {}))
    assert torch.equal(before, after) == (change == "listed_frames"), "all pictures are equal"
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 2


def test_concurrent_fills_compute_tokens_once(make):
    counts = [Counted(), Counted()]
    threads = [threading.Thread(target=make().fill, args=(each,)) for each in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.calls for each in counts) == [0, 3 * V]


def test_a_video_that_cannot_be_decoded_is_named_and_blank(make, tmp_path, caplog):
    (tmp_path / "videos" / "b.mp4").write_bytes(b"no video")
    dataset = make(stage="test")
    dataset.fill(encode)
    assert any("b.mp4" in line and "it has no tokens" in line for line in caplog.messages)
    batch = dataset[1]
    assert not batch["valid"].any()
    assert "b.mp4" in batch["failure"][0]
    assert batch["video"].shape == dataset[0]["video"].shape


def test_a_damaged_file_is_a_video_that_cannot_be_decoded(make, tmp_path):
    dataset = make(stage="test")
    dataset.fill(encode)
    for file in (tmp_path / "cache").glob("*/*.safetensors"):
        file.write_bytes(file.read_bytes()[:-5])
    (failure,) = dataset[0]["failure"]
    assert "of the token cache is damaged" in failure
    assert "delete it and start again" in failure


def test_a_cache_that_does_not_fit_is_refused(tmp_path):
    store = TokenStore(tmp_path, {})
    with (
        store.filling(),
        pytest.raises(OSError, match=r"needs another 1073741824\.0 GiB, .* GiB left: choose"),
    ):
        store.require_room(2**60)
