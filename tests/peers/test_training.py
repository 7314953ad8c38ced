"""Every method trains, resumes, tests, predicts and is exported like PKS⁴."""

import json

import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import ClipInput, load_classifier
from pks4_lightning.models.resolve import preprocessing_of
from pks4_lightning.timeline.follow import follower
from pks4_lightning.training.task import VideoClassificationTask

METHODS = {
    "frame_average": {"temporal": "frame_average"},
    "st_adapter": {"temporal": "st_adapter", "temporal_config": {"d_adapter": 6}},
    "aim": {"temporal": "aim", "temporal_config": {"num_frames": 4}},
    "evl": {"temporal": "evl", "temporal_config": {"num_layers": 2, "num_frames": 4}},
    "side4video": {
        "temporal": "side4video",
        "temporal_config": {"num_layers": 1, "d_side": 8, "d_head": 4},
    },
    "videomamba": {
        "network": "videomamba_ti",
        "backbone_config": {
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "image_size": 32,
            "patch_size": 16,
            "num_frames": 4,
            "d_state": 4,
        },
    },
}


@pytest.mark.parametrize("name", METHODS)
def test_one_task_serves_every_method(tiny_args, motion_set, tmp_path, name):
    settings = [
        f"--model.classifier.{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in METHODS[name].items()
    ]
    folder = tmp_path / "run"
    root = f"--trainer.default_root_dir={folder}"
    fit = ["fit", *tiny_args, *settings, root, "--model.recipe.clips_per_pass=2"]
    run_cli([*fit, "--trainer.max_epochs=1"])
    last = folder / "checkpoints" / "last.ckpt"
    run_cli([*fit, f"--ckpt_path={last}", "--allow_changes=true"])
    saved = torch.load(last, weights_only=True)
    config = PKS4Config(**saved["hyper_parameters"]["classifier"])
    assert saved["epoch"] == 1
    for key, value in METHODS[name].items():
        kept = getattr(config, key)
        assert kept == value if isinstance(value, str) else kept.items() >= value.items()

    run_cli(["test", f"--ckpt_path={last}", f"--trainer.default_root_dir={tmp_path / 'test'}"])
    assert (tmp_path / "test" / "test" / "metrics.json").is_file()
    assert main(["export-weights", "--ckpt_path", str(last), "--out", str(tmp_path / "out")]) == 0
    classifier, clip = load_classifier(tmp_path / "out")
    task = VideoClassificationTask.load_from_checkpoint(last, map_location="cpu").eval()
    video = torch.randn(1, 3, 4, clip.frame_size, clip.frame_size)
    with torch.no_grad():
        torch.testing.assert_close(classifier(video), task(video), rtol=0, atol=0)


def test_a_stream_is_followed_in_windows(make_peer):
    clip = ClipInput(
        label_names=list("abcde"),
        num_frames=3,
        resize=32,
        frame_size=32,
        mean=[0.5] * 3,
        std=[0.5] * 3,
    )
    model = TrainedClassifier(
        make_peer("side4video"), clip, device=torch.device("cpu"), dtype=torch.float32
    )
    assert "the last 3 frames" in follower(model, "auto").protocol
    with pytest.raises(ValueError, match="--mode window"):
        follower(model, "state")


def test_a_network_gets_the_input_it_was_published_with():

    config = PKS4Config(num_classes=5, network="videomamba_m", pretrained=True)
    preprocessing = preprocessing_of(config)
    assert list(preprocessing.mean) == [0.485, 0.456, 0.406]
    assert preprocessing.size == 224
