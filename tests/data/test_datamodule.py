import json
import math
from types import SimpleNamespace

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from pks4_lightning.batch import ClipSource
from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.datamodule import VideoDataModule

SMALL = {"num_frames": 4, "frame_size": 32, "resize": 36, "batch_size": 2, "num_workers": 0}
SPLITS = {"train": 7, "val": 5, "test": 5}


def trainer_of(rank, world_size):
    """Stand-in with the attributes of a trainer that the data module uses; ranks on one machine."""
    return SimpleNamespace(
        global_rank=rank, world_size=world_size, num_devices=world_size, accumulate_grad_batches=1
    )


def make(root, **options):
    return VideoDataModule(None if root is None else str(root), **{**SMALL, **options})


def batches(data, split, *, epoch=0):
    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    return list(loader)


def same(one, other):
    assert one.keys() == other.keys()
    return all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def test_fits_the_protocol_of_training(ssv2_root):
    data = make(ssv2_root)
    data.setup("fit")
    assert isinstance(data, ClipSource)
    assert data.batch_size == 2
    assert data.label_names == [
        "Holding something",
        "Pulling something from left to right",
        "Pulling something from right to left",
    ]


@pytest.mark.parametrize("num_repeats", [1, 2])
def test_training_batches_hold_every_video_and_its_repeats(ssv2_root, num_repeats):
    data = make(ssv2_root, num_repeats=num_repeats)
    data.setup("fit")
    epoch = batches(data, "train")
    assert len(epoch) == data.num_train_batches() == 3
    for batch in epoch:
        assert batch["video"].shape == (2 * num_repeats, 3, 4, 32, 32)
        videos = batch["video_index"].view(2, num_repeats)
        assert (videos == videos[:, :1]).all()
        assert batch["valid"].all()
        assert len(set(batch["draw_seed"].tolist())) == 2 * num_repeats
    indices = torch.cat([batch["video_index"] for batch in epoch]).unique()
    assert len(indices) == 6


def test_a_split_smaller_than_a_batch_is_one_batch(ssv2_root):
    data = make(ssv2_root, batch_size=16)
    data.setup("fit")
    assert data.num_train_batches() == len(batches(data, "train")) == 1
    assert len(batches(data, "train")[0]["label"]) == 7


def test_labels_belong_to_their_videos(ssv2_root):
    data = make(ssv2_root)
    data.setup("validate")
    for batch in batches(data, "val"):
        for label, path in zip(batch["label"].tolist(), batch["video_path"], strict=True):
            assert label == int(path.removesuffix(".webm")[-4:]) % 3


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("split", ["val", "test"])
def test_every_view_is_seen_once_by_one_rank(ssv2_root, split, world_size):
    views = []
    lengths = set()
    for rank in range(world_size):
        data = make(ssv2_root, num_clips=2, num_crops=3)
        data.trainer = trainer_of(rank, world_size)
        data.setup("validate" if split == "val" else "test")
        mine = batches(data, split)
        lengths.add(len(mine))
        for batch in mine:
            views += [
                (index, view)
                for index, view, valid in zip(
                    batch["video_index"].tolist(),
                    batch["view_index"].tolist(),
                    batch["valid"].tolist(),
                    strict=True,
                )
                if valid
            ]
    num_views = 6 if split == "test" else 1
    assert sorted(views) == [(video, view) for video in range(5) for view in range(num_views)]
    assert len(lengths) == 1


def test_training_batches_are_equal_in_number_on_every_rank(ssv2_root):
    seen = []
    for rank in range(2):
        data = make(ssv2_root)
        data.trainer = trainer_of(rank, 2)
        data.setup("fit")
        epoch = batches(data, "train")
        assert len(epoch) == data.num_train_batches() == 1
        seen += epoch[0]["video_index"].tolist()
    assert len(set(seen)) == 4


def test_fewer_training_videos_than_ranks_are_refused(ssv2_root):
    data = make(ssv2_root)
    data.trainer = trainer_of(0, 8)
    data.setup("fit")
    with pytest.raises(ValueError, match="7 training videos are too few for 8 ranks"):
        data.num_train_batches()


def test_pixels_are_recovered_from_model_input(ssv2_root):
    data = make(ssv2_root)
    data.setup("fit")
    batch = batches(data, "val")[0]
    pixels = data.to_pixels(data.to_model_input(batch))
    assert torch.equal(pixels, batch["video"].permute(0, 2, 3, 4, 1))


def test_workers_change_nothing(ssv2_root):
    epochs = {}
    for num_workers in (0, 2):
        data = make(ssv2_root, num_workers=num_workers, num_repeats=2)
        data.setup("fit")
        loader = data.train_dataloader()
        epochs[num_workers] = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            epochs[num_workers] += list(loader)
    assert len(epochs[0]) == len(epochs[2]) == 6
    assert all(same(one, other) for one, other in zip(epochs[0], epochs[2], strict=True))
    assert not same(epochs[0][0], epochs[0][3])


def test_default_test_batches_hold_as_many_views_as_batch_size(ssv2_root):
    assert make(ssv2_root, batch_size=16, num_clips=2, num_crops=3).loaders.test_batch_size == 2
    assert make(ssv2_root, batch_size=4, num_clips=2, num_crops=3).loaders.test_batch_size == 1
    assert make(ssv2_root, num_clips=2, test_batch_size=5).loaders.test_batch_size == 5


def test_the_model_gets_normalised_floats(ssv2_root):
    data = make(ssv2_root, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    data.setup("validate")
    (batch, *_) = batches(data, "val")
    video = data.on_after_batch_transfer(batch, 0)["video"]
    assert video.dtype == torch.float32
    raw = batch["video"].double() / 255
    expected = torch.stack([raw[:, 0] * 2 - 1, raw[:, 1] * 4 - 1, raw[:, 2]], dim=1)
    torch.testing.assert_close(video.double(), expected)


class Recorder(LightningModule):
    """A model with one weight that records its batches."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = {"train": [], "val": [], "test": [], "predict": []}

    def note(self, stage, batch):
        self.seen[stage].append(batch)
        return self.weight * batch["video"].mean()

    def training_step(self, batch):
        return self.note("train", batch)

    def validation_step(self, batch):
        self.note("val", batch)

    def test_step(self, batch):
        self.note("test", batch)

    def predict_step(self, batch):
        self.note("predict", batch)
        return batch["video_index"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def trainer(tmp_path):
    return Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )


QUIET = pytest.mark.filterwarnings(
    # Lightning 2.6 on torch 2.13
    "ignore:.*isinstance.treespec, LeafSpec.* is deprecated:FutureWarning",
    # advice on speed, irrelevant to a test
    "ignore:.*does not have many workers",
    "ignore:.*number of training batches .* is smaller than the logging interval",
)


@QUIET
def test_a_trainer_fits_validates_tests_and_predicts(trainer, ssv2_root):
    videos = ssv2_root / "20bn-something-something-v2"
    data = make(ssv2_root, num_clips=2, predict=str(videos))
    model = Recorder()
    trainer.fit(model, datamodule=data)
    orders = [
        tuple(
            torch.cat([b["video_index"] for b in model.seen["train"][start : start + 3]]).tolist()
        )
        for start in (0, 3)
    ]
    assert orders[0] != orders[1]
    assert all(batch["video"].is_floating_point() for batch in model.seen["train"])
    validated = model.seen["val"]
    assert same(validated[0], validated[3])
    trainer.validate(model, datamodule=data, verbose=False)
    trainer.test(model, datamodule=data, verbose=False)
    tested = torch.cat([batch["video_index"] for batch in model.seen["test"]])
    assert tested.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    predicted = torch.cat(trainer.predict(model, datamodule=data))
    assert predicted.tolist() == [index for index in range(12) for _ in range(2)]
    assert {label for b in model.seen["predict"] for label in b["label"].tolist()} == {-1}


@QUIET
def test_a_trainer_augments_training_clips_only(trainer, ssv2_root):
    gray = Augmentation(grayscale=1.0, scale=(1.0, 1.0), flip=0.0)
    data = make(ssv2_root, augmentation=gray, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    model = Recorder()
    data.setup("fit")
    coloured = data.to_model_input(batches(data, "val")[0])
    trainer.fit(model, datamodule=data)
    for batch in model.seen["train"]:
        assert torch.equal(batch["video"][:, 0], batch["video"][:, 2])
    assert torch.equal(model.seen["val"][0]["video"], coloured)
    assert not torch.equal(coloured[:, 0], coloured[:, 2])


def test_prediction_needs_no_root_and_no_labels(tmp_path, write_video):
    clip = write_video(tmp_path / "deep" / "clip.webm", 9)
    data = make(None, predict=str(clip), num_clips=2)
    data.setup("predict")
    (batch,) = batches(data, "predict")
    assert batch["label"].tolist() == [-1, -1]
    assert batch["video_path"] == [str(clip)] * 2
    assert data.videos("predict").labels == (-1,)


def test_a_test_logs_which_split_it_scores(ssv2_root):
    data = make(ssv2_root)
    data.setup("test")
    assert data.test_split() == ("val", "labels/validation.json")
    data = make(ssv2_root, test="labels/train.json")
    data.setup("test")
    assert data.test_split() == ("test", "labels/train.json")


def test_videos_of_a_split_are_listed_by_video_index(ssv2_root):
    data = make(ssv2_root)
    data.setup("test")
    (batch, *_) = batches(data, "test")
    paths = [data.videos("test").path(index) for index in batch["video_index"].tolist()]
    assert paths == batch["video_path"]


@pytest.mark.parametrize(
    ("root", "stage", "error", "message"),
    [
        ("/no/such/folder", "fit", FileNotFoundError, "'/no/such/folder'; set data.root"),
        (None, "fit", ValueError, "data.root is not set"),
        (None, "predict", ValueError, "data.predict is not set"),
    ],
)
def test_missing_files_are_named(root, stage, error, message):
    with pytest.raises(error, match=message):
        make(root).setup(stage)


def test_more_frames_than_memory_allows_is_refused_before_anything_is_read():
    data = make("/no/such/folder", num_frames=100_000_000, num_workers=2)
    with pytest.raises(
        ValueError, match=r"The frames do not fit into memory: train batches of 2 cl"
    ):
        data.setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "data.num_frames is 0; it must be at least 1"),
        ({"num_workers": -1}, "data.num_workers is -1; it must be at least 0"),
        ({"worker_timeout": math.nan}, "data.worker_timeout is nan; it must be at least 0"),
        ({"max_bad_fraction": math.nan}, "data.max_bad_fraction is nan; it must be at least 0"),
        ({"test_batch_size": 0}, "data.test_batch_size is 0"),
        ({"resize": 30}, "data.resize is 30, smaller than data.frame_size 32"),
        ({"resize": (64, 20)}, r"data.resize is \(64, 20\), smaller"),
    ],
)
def test_impossible_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make("/data", **options)


YAML = {
    "root": "ROOT",
    "format": "ssv2",
    "resize": [32, 40],
    "num_frames": 4,
    "frame_size": 32,
    "num_workers": 0,
    "augmentation": {"scale": [0.5, 1.0], "flip_label_pairs": [[1, 2]], "randaugment_num_ops": 2},
    "test_sampler": {
        "class_path": "pytorchvideo.data.clip_sampling.UniformClipSampler",
        "init_args": {"clip_duration": 0.5},
    },
}


def test_is_built_from_yaml_with_a_sampler_of_pytorchvideo(ssv2_root, read_numbers):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(VideoDataModule, "data")
    settings = json.dumps({"data": {**YAML, "root": str(ssv2_root)}})
    data = parser.instantiate(parser.parse_string(settings)).data
    assert data.scales.resize == (32, 40)
    assert data.loaders.augmentation == Augmentation(
        scale=(0.5, 1.0), flip_label_pairs=[(1, 2)], randaugment_num_ops=2
    )
    data.setup("fit")
    assert batches(data, "train")
    data.setup("test")
    (batch, *_) = batches(data, "test")
    # video 2001 has 13 frames in 1.3 seconds: two clips of half a second, five frames each
    first = batch["video_index"] == 0
    assert first.sum() == 2
    numbers = [read_numbers(clip) for clip in batch["video"][first]]
    assert numbers == [[1, 2, 3, 5], [6, 7, 8, 10]]


def test_unknown_settings_are_refused_by_name(ssv2_root):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(VideoDataModule, "data")
    with pytest.raises(Exception, match="num_frame"):
        parser.parse_string(json.dumps({"data": {"root": str(ssv2_root), "num_frame": 4}}))
