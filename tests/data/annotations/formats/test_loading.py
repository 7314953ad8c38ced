"""From an archive's tree to batches: a data set of video files and one of image files."""

import av
import pytest
import torch

from pks4_lightning.data.datamodule import VideoDataModule

SMALL = {"num_frames": 4, "frame_size": 32, "resize": 36, "batch_size": 2, "num_workers": 0}


def batches(root, **options):
    data = VideoDataModule(str(root), **{**SMALL, **options})
    data.setup("fit")
    return data, next(iter(data.train_dataloader())), list(data.val_dataloader())


@pytest.fixture
def clips(tmp_path, write_video):
    splits = tmp_path / "testTrainMulti_7030_splits"
    splits.mkdir()
    for label in ("brush_hair", "shoot_bow"):
        codes = {f"{label}_{number}.avi": code for number, code in enumerate((1, 1, 2, 0))}
        lines = "".join(f"{name} {code} \n" for name, code in codes.items())
        (splits / f"{label}_test_split1.txt").write_text(lines)
        for name in codes:
            write_video(tmp_path / "hmdb51_org" / label / name, 8)
    return tmp_path


def test_trains_on_hmdb51(clips):
    data, train, val = batches(clips)
    assert data.label_names == ["brush_hair", "shoot_bow"]
    assert data.num_train_batches() == 2
    assert train["video"].shape == (2, 3, 4, 32, 32)
    assert torch.cat([batch["label"] for batch in val]).tolist() == [0, 1]
    assert all(batch["valid"].all() for batch in val)


def test_trains_on_image_folders(clips, tmp_path):
    unpacked = tmp_path / "unpacked"
    lines = []
    for number, video in enumerate(sorted((clips / "hmdb51_org").rglob("*.avi"))):
        folder = unpacked / "frames" / video.stem
        folder.mkdir(parents=True)
        with av.open(str(video)) as container:
            for index, frame in enumerate(container.decode(video=0), start=1):
                encoder = av.CodecContext.create("png", "w")
                encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "rgb24"
                encoder.time_base = frame.time_base
                picture = frame.reformat(format="rgb24")
                packets = [*encoder.encode(picture), *encoder.encode(None)]
                (folder / f"img_{index:05d}.png").write_bytes(b"".join(map(bytes, packets)))
        lines.append(f"{video.stem} 8 {number // 4}\n")
    (unpacked / "train.txt").write_text("".join(lines))
    data, train, val = batches(unpacked, val="train.txt", frame_template="img_{:05d}.png")
    assert data.label_names == ["0", "1"]
    assert train["valid"].all()
    as_pictures = torch.cat([batch["video"] for batch in val])
    options = {"format": "folder", "train": "hmdb51_org", "val": "hmdb51_org"}
    _, _, as_files = batches(clips, **options)
    difference = as_pictures.float() - torch.cat([batch["video"] for batch in as_files]).float()
    assert difference.abs().max() <= 4, "the same frames, scaled the same way"
