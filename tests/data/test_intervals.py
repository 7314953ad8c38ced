"""Training and testing on intervals of long videos, compared with clips cut out of them."""

import csv
import json
from fractions import Fraction

import av
import numpy as np
import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.video.video import Video
from tests.conftest import TINY


@pytest.fixture(scope="module")
def data(motion_set, tmp_path_factory):
    """One long video of all training videos and one of all validation videos, with intervals."""
    root = tmp_path_factory.mktemp("intervals")
    for split, name in (("train", "train"), ("validation", "val")):
        listed = json.loads((motion_set / "labels" / f"{split}.json").read_text())
        rows, number = [], 0
        with av.open(str(root / f"{name}.mkv"), "w") as written:
            stream = written.add_stream("libx264", rate=12, options={"crf": "0"})
            stream.width = stream.height = 80
            for each in listed:
                start = number
                source = Video(motion_set / "videos" / f"{each['id']}.webm")
                for frame in source.frames(range(source.num_frames)):
                    shown = av.VideoFrame.from_ndarray(frame.numpy(), format="rgb24")
                    shown.pts, shown.time_base = number, Fraction(1, 12)
                    written.mux(stream.encode(shown))
                    number += 1
                label = each["template"].replace("[", "").replace("]", "")
                rows.append([f"{name}.mkv", f"{start / 12:.3f}", f"{number / 12:.3f}", label])
            written.mux(stream.encode())
        with (root / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["video", "start", "end", "label"], *rows])
    return root


def test_clips_are_those_of_the_cut_videos(data, motion_set):
    settings = {"num_frames": 4, "frame_size": 32, "resize": 36, "num_workers": 0, "batch_size": 4}
    long = VideoDataModule(str(data), **settings)
    cut = VideoDataModule(str(motion_set), format="ssv2", **settings)
    for module in (long, cut):
        module.setup("validate")
    assert len(long.videos("val")) == 8
    for one, other in zip(long.val_dataloader(), cut.val_dataloader(), strict=True):
        difference = (one["video"].float() - other["video"].float()).abs().mean()
        assert difference < 4  # re-encoding; other videos differ by 40 or more
        names = [long.label_names[label] for label in one["label"]]
        expected = [cut.label_names[label] for label in other["label"]]
        assert names == [each.replace("[", "").replace("]", "") for each in expected]


def test_a_training_and_its_test_count_every_interval(data, tmp_path):
    folder = ["--data.root", str(data), "--trainer.default_root_dir", str(tmp_path)]
    given = ["fit", "--config", str(TINY), "--data.format", "intervals", *folder]
    changes = ["--data.augmentation.flip_label_pairs=null", "--trainer.max_epochs=1"]
    assert main([*given, *changes]) == 0
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    assert main(["test", "--ckpt_path", str(checkpoint), *folder]) == 0
    with (tmp_path / "test" / "predictions.csv").open(newline="") as file:
        paths = [row["video_path"] for row in csv.DictReader(file)]
    assert len(paths) == len(set(paths)) == 8
    assert paths[1].endswith("val.mkv#t=2,4")


def test_intervals_outside_of_the_video_are_named_and_counted(data, tmp_path, capfd):
    rows = (data / "val.csv").read_text().splitlines()
    rows[3] = rows[3].replace("4.000,6.000", "4000.0,4002.0")
    (tmp_path / "val.csv").write_text("\n".join(rows))
    module = VideoDataModule(
        str(data), val=str(tmp_path / "val.csv"), num_frames=4, frame_size=32, resize=36,
        num_workers=0, batch_size=8,
    )  # fmt: skip
    module.setup("validate")
    (batch,) = module.val_dataloader()
    assert batch["valid"].tolist() == [number != 2 for number in range(8)]
    assert (
        "annotated interval from 4000 to 4002 seconds lies outside the video" in batch["failure"][2]
    )
    assert np.count_nonzero(batch["failure"]) == 1
