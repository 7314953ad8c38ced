"""Training, testing and sharding with two processes on one machine, connected by gloo."""

import csv
import json
import shutil

import pytest
import torch

from tests.helpers import score_cases
from tests.helpers.score_cases import NUM_CROPS, NUM_VIDEOS
from tests.helpers.two_ranks import TWO, on_two_ranks, pks4_on_two_ranks


def predictions(folder):
    with (folder / "test" / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_ddp_trains_as_one_process_with_the_same_videos_per_step(tiny_args, tmp_path):
    folder = tmp_path / "run"
    outputs = pks4_on_two_ranks(
        [
            "fit",
            *tiny_args,
            f"--trainer.default_root_dir={folder}",
            "--trainer.strategy=ddp",
            *TWO,
        ],
        tmp_path,
    )
    assert "Resolved settings of this run" in outputs[0]
    assert "Resolved settings of this run" not in outputs[1], "said once"
    resolved = (folder / "checkpoints" / "resolved.yaml").read_text()
    assert "ranks: 2" in resolved
    assert "accumulation: 1" in resolved, "2 ranks × 4 videos make the reference batch of 8"
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert all(t.isfinite().all() for t in saved["state_dict"].values() if t.is_floating_point())


@pytest.fixture
def splits(motion_set, tmp_path):
    """The tiny set, with annotations of its first few test videos as well."""
    root = tmp_path / "splits"
    shutil.copytree(motion_set, root)
    entries = json.loads((root / "labels" / "test.json").read_text())
    assert len(entries) == max(NUM_VIDEOS)
    for num_videos in NUM_VIDEOS:
        path = root / "labels" / f"first_{num_videos}.json"
        path.write_text(json.dumps(entries[:num_videos]))
    return root


def test_two_ranks_score_as_one_to_the_last_video(splits, trained, tmp_path):
    args = [str(splits), str(trained / "checkpoints" / "best.ckpt")]
    on_two_ranks(score_cases.__file__, [*args, str(tmp_path / "two"), "2"], tmp_path)
    score_cases.main(*args, str(tmp_path / "one"), "1")
    for num_videos in NUM_VIDEOS:
        for num_crops in NUM_CROPS:
            case = f"{num_videos}x{num_crops}"
            one, two = (predictions(tmp_path / ranks / case) for ranks in ("one", "two"))
            assert len(one) == num_videos
            answers = [
                [(r["video_path"], r["label"], r["top1"]) for r in rows] for rows in (one, two)
            ]
            assert answers[0] == answers[1], case
            metrics = [
                json.loads((tmp_path / ranks / case / "test/metrics.json").read_text())
                for ranks in ("one", "two")
            ]
            assert metrics[0] == metrics[1], case
            right = sum(row["label"] == row["top1"] for row in two)
            assert metrics[1]["test/video_top1"] == round(right / num_videos, 6), case
            assert metrics[1]["num_scored"] == metrics[1]["num_listed"] == num_videos


def test_sharded_model_trains(tiny_args, tmp_path):
    """FSDP2 by `ModelParallelStrategy`: parameters are sharded over the two ranks."""
    folder = tmp_path / "run"
    pks4_on_two_ranks(
        [
            "fit",
            *tiny_args,
            f"--trainer.default_root_dir={folder}",
            "--trainer.strategy=lightning.pytorch.strategies.ModelParallelStrategy",
            "--trainer.strategy.save_distributed_checkpoint=false",
            "--trainer.max_epochs=1",
            *TWO,
        ],
        tmp_path,
    )
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["state_dict"]["classifier.pks4.scanner.A_log"].shape == (32, 4)
