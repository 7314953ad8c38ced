"""Training on cached tokens compared with the same training on pixels."""

import json

import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.data.clips.pool import ClipPool
from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.datamodule import VideoDataModule

FROZEN = (
    *("--model.recipe.trains", "after_insertion", "--model.classifier.route_from", "2"),
    *("--model.recipe.mix_prob", "0", "--data.pool.num_frames", "8", "--data.pool.num_views", "2"),
    *("--data.augmentation.reverse", "0.5", "--data.augmentation.reverse_label_pairs", "[[0,1]]"),
    *("--trainer.max_epochs", "-1", "--trainer.max_steps", "3"),
)


def fit(tiny_args, folder, *arguments):
    run_cli(["fit", *tiny_args, *FROZEN, *arguments, "--trainer.default_root_dir", str(folder)])
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return saved["state_dict"]


def scores(folder):
    run_cli(["test", "--ckpt_path", str(folder / "checkpoints" / "last.ckpt")])
    return json.loads((folder / "test" / "metrics.json").read_text())


def test_ends_at_the_same_weights_and_answers(tiny_args, tmp_path):
    cache = ("--data.token_cache", str(tmp_path / "cache"))
    pixels = fit(tiny_args, tmp_path / "pixels")
    tokens = fit(tiny_args, tmp_path / "tokens", *cache)
    for name, weight in pixels.items():
        torch.testing.assert_close(tokens[name], weight, rtol=1e-4, atol=1e-6)
    changed = [n for n, w in pixels.items() if "layers.0" in n and not torch.equal(tokens[n], w)]
    assert changed == [], "what is frozen stays"
    expected, found = scores(tmp_path / "pixels"), scores(tmp_path / "tokens")
    assert found["test/video_top1"] == expected["test/video_top1"]

    (store,) = (tmp_path / "cache").iterdir()
    before = {file: file.stat().st_mtime_ns for file in store.glob("*.safetensors")}
    fit(tiny_args, tmp_path / "other_draws", *cache, "--data.seed", "5")
    assert before == {file: file.stat().st_mtime_ns for file in store.glob("*.safetensors")}
    # the tower's weights are random here, so another seed gives another tower
    fit(tiny_args, tmp_path / "other_tower", *cache, "--seed_everything", "5")
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_clips_are_pixels_without_a_model(motion_set, tmp_path):
    data = VideoDataModule(
        str(motion_set),
        format="ssv2",
        num_frames=4,
        frame_size=32,
        resize=36,
        batch_size=2,
        num_workers=0,
        augmentation=Augmentation(flip_label_pairs=[]),
        pool=ClipPool(8, 2),
        token_cache=str(tmp_path / "cache"),
    )
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert next(iter(loader))["video"].shape == (2, 3, 4, 32, 32)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--model.recipe.trains", "all"], "needs frozen blocks: set --model.recipe.trains"),
        (["--model.recipe.mix_prob", "1"], "needs clips that are not mixed"),
        (["--data.pool.num_views", "null"], "needs a finite pool of pictures"),
        (["--data.num_crops", "3"], "needs a single crop, but data.num_crops is 3"),
        (["--data.flexible.num_frames", "[4, 8]"], "needs clips of one scale"),
        (["--data.frame_rate", "5"], "needs clips that are spread over the whole video"),
        (["--model.classifier.route_from", "1"], "set --model.classifier.route_from 2"),
    ],
)
def test_settings_without_tokens_are_refused_in_one_sentence(
    tiny_args, tmp_path, capsys, changes, message
):
    cache = ["--data.token_cache", str(tmp_path / "cache")]
    folder = ["--trainer.default_root_dir", str(tmp_path / "run")]
    assert main(["fit", *tiny_args, *FROZEN, *cache, *folder, *changes]) == 1
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith("pks4: error")
    ]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "cache").exists()
