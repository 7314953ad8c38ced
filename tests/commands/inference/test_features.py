"""``pks4 features``: every row is computed from the frames that its index stands for."""

import csv
import json

import numpy as np
import pytest
import torch

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.data.video.video import Video
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.models.pretrained import ClipInput
from pks4_lightning.models.video_classifier import VideoClassifier, new_head
from pks4_lightning.timeline.features import FeatureWriter
from pks4_lightning.timeline.result_folder import ResultFolder
from tests.helpers.killed import kill_within
from tests.helpers.media import Clip, read_number, write_clip


@pytest.fixture(scope="module")
def checkpoint(trained):
    return str(trained / "checkpoints" / "best.ckpt")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of 100 numbered frames in four seconds."""
    folder = tmp_path_factory.mktemp("features")
    return write_clip(folder / "clip", Clip(".mp4", num_frames=100, b_frames=2))


def features(checkpoint, *arguments):
    given = ["features", "--ckpt_path", checkpoint, "--device", "cpu", *map(str, arguments)]
    return main(given)


class NumberReader(VideoClassifier):
    """A classifier whose vector of a clip contains the numbers shown in its frames."""

    def __init__(self):
        super().__init__(own_patch_size=8, grid_size=None)
        self.head = new_head(4, 2)

    def clip_vectors(self, video, patch_size=None):
        pixels = (255 * video).permute(0, 2, 3, 4, 1).numpy()
        return torch.tensor([[read_number(frame) for frame in clip] for clip in pixels]).float()


def test_rows_read_back_by_the_formula_show_the_frames_of_their_window(clip, tmp_path):
    shown = ClipInput(
        label_names=["a", "b"], num_frames=4, resize=64, frame_size=64, mean=[0.0] * 3,
        std=[1.0] * 3,
    )  # fmt: skip
    model = TrainedClassifier(
        NumberReader(), shown, device=torch.device("cpu"), dtype=torch.float32
    )
    folder = ResultFolder(tmp_path, made_by={}, resume=False, what="features")
    writer = FeatureWriter(
        model=model, folder=folder, kind="window", window=0.8, stride=0.36, batch_size=3
    )
    writer.write(str(clip))
    said = writer.description()
    detector = said["actionformer"]
    fps, stride, length = (detector[k] for k in ("default_fps", "feat_stride", "num_frames"))
    rows = np.load(tmp_path / "clip.npy")
    assert len(rows) == said["database"]["clip"]["num_rows"] == 10
    for i, numbers in enumerate(rows):
        centre = (i * stride + 0.5 * length) / fps  # seconds, by ActionFormer's formula
        if i < len(rows) - 1:  # the last window ends with the video
            assert numbers.mean() / 25 == pytest.approx(centre, abs=0.04)
        assert numbers.min() >= round(25 * 0.36 * i)
        assert numbers.max() < min(100, round(25 * (0.36 * i + 0.8)))
    opentad = said["opentad"]
    assert opentad["feature_stride"] / 1000 == 0.36
    assert opentad["offset_frames"] / 1000 == 0.4
    assert said["database"]["clip"]["frame"] == 4000


@pytest.mark.parametrize("stride", [0.0625, 1 / 30, 0.25, 0.0013, 0.0004])
def test_the_last_row_of_an_hour_is_where_detectors_look_for_it(tmp_path, stride):
    shown = ClipInput(
        label_names=["a"], num_frames=4, resize=64, frame_size=64, mean=[0.0] * 3, std=[1.0] * 3
    )
    model = TrainedClassifier(
        NumberReader(), shown, device=torch.device("cpu"), dtype=torch.float32
    )
    folder = ResultFolder(tmp_path, made_by={}, resume=False, what="features")
    writer = FeatureWriter(model=model, folder=folder, kind="window", window=2.0, stride=stride)
    last = int(3600 / stride) - 1
    folder.finish("hour.mp4", {"shape": [last + 1, 4], "duration": 3600.04})
    said = json.loads(json.dumps(writer.description()))
    centre = stride * last + 1.0
    detector, opentad, video = said["actionformer"], said["opentad"], said["database"]["hour"]
    ticks = detector["feat_stride"] * last + 0.5 * detector["num_frames"]
    assert ticks / detector["default_fps"] == pytest.approx(centre, abs=1e-6)
    # OpenTAD's stride is an integer; its rate is that of the video
    ticks = int(opentad["feature_stride"]) * last + opentad["offset_frames"]
    assert ticks / (video["frame"] / video["duration"]) == pytest.approx(centre, abs=2e-3)
    assert video["fps"] == detector["default_fps"]


@pytest.mark.parametrize("kind", ["window", "frame", "patch"])
def test_rows_equal_the_classifiers_vectors_of_these_frames(checkpoint, clip, tmp_path, kind):
    out = tmp_path / "out"
    assert features(checkpoint, clip, "--kind", kind, "--window", 0.8, "--out", out) == 0
    said = json.loads((out / "features.json").read_text())
    stride, length = said["seconds"]["stride"], said["seconds"]["length"]
    rows = np.load(out / "clip.npy")
    assert said["row_shape"] == list(rows.shape[1:])
    model = pks4_lightning.load(checkpoint, device="cpu")

    def clip_of(numbers):
        frames = Video(clip).frames(numbers, model.resize)
        return model.normalise(model.crop(frames)[None])

    with torch.inference_mode():
        if kind == "window":
            assert (stride, length, len(rows)) == (0.4, 0.8, 9)
            for i in range(9):
                numbers = [10 * i + 20 * (2 * t + 1) // 8 for t in range(4)]
                expected = model.classifier.clip_vectors(clip_of(numbers))[0]
                assert rows[i] == pytest.approx(expected.numpy(), abs=1e-5)
            return
        assert (stride, length, len(rows)) == (0.2, 0.2, 20)
        for k in range(5):
            numbers = [int(25 * (i + 0.5) * stride + 1e-6) for i in range(4 * k, 4 * k + 4)]
            vectors = model.classifier.frame_vectors(clip_of(numbers))[0]
            patches = model.classifier.patch_vectors(clip_of(numbers))[0]
            expected = vectors if kind == "frame" else patches
            assert rows[4 * k : 4 * k + 4] == pytest.approx(expected.numpy(), abs=1e-5)
    assert rows.shape[1:] == ((12,) if kind == "frame" else (16, 4, 4))


def test_the_mean_over_frames_is_the_window(checkpoint, clip, tmp_path):
    given = [clip, "--window", 0.8, "--dtype", "float16"]
    assert features(checkpoint, *given, "--stride", 0.8, "--out", tmp_path / "window") == 0
    assert features(checkpoint, *given, "--kind", "frame", "--out", tmp_path / "frame") == 0
    windows, frames = (np.load(tmp_path / kind / "clip.npy") for kind in ("window", "frame"))
    assert windows.dtype == np.float16
    assert frames.reshape(5, 4, -1).mean(1) == pytest.approx(windows, abs=2e-3)


def test_rows_past_the_end_are_left_out(checkpoint, clip, tmp_path):
    given = [clip, "--kind", "frame", "--window", 1.5, "--out", tmp_path]
    assert features(checkpoint, *given) == 0
    assert len(np.load(tmp_path / "clip.npy")) == 11  # a row begins every 0.375 of 4 seconds


def test_a_killed_and_resumed_command_writes_what_one_run_does(checkpoint, clip, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    windows = ["--window", "0.4", "--stride", "0.01"]
    assert features(checkpoint, clip, *windows, "--out", whole) == 0
    given = ["features", "--ckpt_path", checkpoint, "--device", "cpu", str(clip), *windows]
    given += ["--out", str(part)]
    kill_within(given, part / "clip.npy.part", 128 + 3 * 16 * 12 * 4)
    assert main(given) == 1
    assert main([*given, "--resume"]) == 0
    for name in ("clip.npy", "features.json", "made_by.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes()


def test_every_video_once_and_failures_are_listed(checkpoint, clip, motion_set, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    videos = sorted(map(str, (motion_set / "videos").iterdir()))[:3]
    out = ["--out", tmp_path / "out"]
    assert features(checkpoint, videos[0], bad, *out) == 0
    names = [path.name for path in (tmp_path / "out").glob("*.npy")]
    assert len(names) == 1
    before = (tmp_path / "out" / names[0]).stat().st_mtime_ns
    assert features(checkpoint, *videos, bad, "gone.mp4", *out, "--resume") == 0
    assert (tmp_path / "out" / names[0]).stat().st_mtime_ns == before
    said = json.loads((tmp_path / "out" / "features.json").read_text())
    assert sorted(entry["video"] for entry in said["database"].values()) == videos
    assert {f"{name}.npy" for name in said["database"]} == {
        path.name for path in (tmp_path / "out").glob("*.npy")
    }
    with (tmp_path / "out" / "failed.csv").open(newline="") as file:
        failed = [row["video_path"] for row in csv.DictReader(file)]
    assert failed == ["gone.mp4", str(bad)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["--window", "0"], "window is 0; it must be a positive number of seconds"),
        (["--window", "0.01"], "window is 0.01 s, but a frame of '"),
        (["--kind", "frame", "--window", "0.01"], "window is 0.01 s, but a frame of '"),
        (
            ["--kind", "patch", "--stride", "1"],
            "--stride applies to windows only; the rows of --kind patch",
        ),
        (["--ckpt_path", "/nowhere.ckpt"], "/nowhere.ckpt"),
    ],
)
def test_errors_are_one_sentence(checkpoint, clip, tmp_path, capfd, changes, reason):
    assert features(checkpoint, clip, "--out", tmp_path / "out", *changes) == 1
    (line,) = (x for x in capfd.readouterr().err.splitlines() if x.startswith("pks4: error: "))
    assert reason in line
    assert not list(tmp_path.rglob("*.npy"))


def test_a_classifier_without_frame_vectors_is_refused(tmp_path):
    shown = ClipInput(
        label_names=["a"], num_frames=4, resize=64, frame_size=64, mean=[0.0] * 3, std=[1.0] * 3
    )
    model = TrainedClassifier(
        NumberReader(), shown, device=torch.device("cpu"), dtype=torch.float32
    )
    folder = ResultFolder(tmp_path, made_by={}, resume=False, what="features")
    with pytest.raises(ValueError, match="choose --kind window"):
        FeatureWriter(model=model, folder=folder, kind="frame", window=1.0, stride=1.0)
